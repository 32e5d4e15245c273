//! [`assign`]: which columns of the catalog the columns of a description are. Pure.
//!
//! A description of the stream gives names and types in the order of the columns' numbers, but not the numbers, and the
//! catalog may be ahead of it. Numbers tell a renamed column from one that was dropped and another that was added:
//!
//! ```text
//! known (at the checkpoint)    1 id   2 a   3 b                a number is never used again,
//! described (in the stream)      id     a     c                and columns never change places
//! catalog (now)                1 id   2 a   3 -   4 c
//!
//! a column that is in both is described for certain:  1, 2
//! one that is only in one of them may be:             3 (called c meanwhile, dropped since), 4
//! ```
//!
//! Where only one choice of numbers fits the count, it is certain, whatever the names. Where several do, names and types
//! decide, and the answer says that they did: [`Assignment::by_name`].

use std::collections::HashSet;

use segcdc_model::{CatalogTable, Relation, RelationColumn};

use crate::known_table::KnownTable;

/// Choices that are looked at before it is given up.
const MAX_CHOICES: usize = 64;

/// Which columns those of a description are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// `attnum` of each column of the description.
    pub(crate) attnums: Vec<i16>,
    /// Other choices are possible, if columns had names that neither catalog nor checkpoint have seen.
    pub(crate) by_name: bool,
}

/// A column that a description may mean.
struct Candidate<'a> {
    attnum: i16,
    /// Names and types that it is known to have had.
    seen: Vec<(&'a str, u32, i32)>,
    /// It is described whatever the rest is.
    is_certain: bool,
    /// It was added behind the checkpoint and is there now: it was there from then on.
    stays: bool,
    /// It came and went behind the checkpoint, so that nothing is known of it.
    is_unseen: bool,
}

/// The search for choices.
struct Search<'a> {
    candidates: Vec<Candidate<'a>>,
    described: &'a [RelationColumn],
    chosen: Vec<usize>,
    found: Vec<Vec<usize>>,
}

/// Which columns the columns of `relation` are; `None` when that cannot be told.
pub(crate) fn assign(known: &KnownTable, relation: &Relation, catalog: &CatalogTable) -> Option<Assignment> {
    // A publication with a list of columns does not send those that are left out, of which the catalog says nothing.
    let sent = |unwritten| match choices(known, relation, catalog, unwritten) {
        (_, found) if found.is_empty() => None,
        choices => Some(choices),
    };
    let (candidates, found) = sent(Unwritten::AreSent).or_else(|| sent(Unwritten::MayBeSent))?;
    if found.len() >= MAX_CHOICES {
        return None;
    }
    let attnums = |choice: &[usize]| -> Vec<i16> {
        choice.iter().filter_map(|at| candidates.get(*at)).map(|candidate| candidate.attnum).collect()
    };
    if let [only] = found.as_slice() {
        return Some(Assignment { attnums: attnums(only), by_name: false });
    }
    let names: HashSet<&str> = candidates.iter().flat_map(|candidate| candidate.names()).collect();
    let fits = |choice: &&Vec<usize>| {
        choice.iter().zip(&relation.columns).all(|(at, sent)| {
            // A name that nobody has seen speaks for no column and against none.
            let is_odd = !names.contains(sent.name.as_str());
            candidates.get(*at).is_some_and(|candidate| candidate.is_unseen || candidate.may_be(sent, is_odd))
        })
    };
    let mut fitting = found.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Some(Assignment { attnums: attnums(only), by_name: true }),
        _ => None,
    }
}

/// Whether columns are described that the target does not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unwritten {
    /// As all others.
    AreSent,
    /// Some are, some are not.
    MayBeSent,
}

/// The columns that may be described, by number, and all choices of them that fit the count.
fn choices<'a>(
    known: &'a KnownTable,
    relation: &'a Relation,
    catalog: &'a CatalogTable,
    unwritten: Unwritten,
) -> (Vec<Candidate<'a>>, Vec<Vec<usize>>) {
    let mut candidates = candidates(known, catalog, unwritten);
    candidates.extend(generated(known, relation, catalog));
    candidates.sort_by_key(|candidate| candidate.attnum);
    let mut search =
        Search { candidates, described: &relation.columns, chosen: Vec::new(), found: Vec::new() };
    search.from(0, false);
    (search.candidates, search.found)
}

/// The columns that may be described, by number.
fn candidates<'a>(
    known: &'a KnownTable,
    catalog: &'a CatalogTable,
    unwritten: Unwritten,
) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for column in &known.columns {
        let live = catalog.live(column.attnum);
        let mut seen = vec![(column.name.as_str(), column.type_oid, column.type_modifier)];
        let attribute = catalog.attribute(column.attnum);
        if let (Some(live), Some(now)) = (live, attribute) {
            seen.push((live.name.as_str(), now.type_oid, now.type_modifier));
        }
        let is_certain = live.is_some() && (column.target.is_some() || unwritten == Unwritten::AreSent);
        candidates.push(Candidate {
            attnum: column.attnum,
            seen,
            is_certain,
            stays: false,
            is_unseen: false,
        });
    }
    for attribute in catalog.attributes.iter().filter(|attribute| attribute.attnum > known.last_attnum) {
        let live = catalog.live(attribute.attnum);
        if live.is_some_and(|live| live.generated) {
            continue;
        }
        candidates.push(Candidate {
            attnum: attribute.attnum,
            seen: live
                .map(|live| (live.name.as_str(), attribute.type_oid, attribute.type_modifier))
                .into_iter()
                .collect(),
            is_certain: false,
            stays: live.is_some(),
            is_unseen: live.is_none(),
        });
    }
    candidates
}

/// Generated columns that the publication sends with the others, from PostgreSQL 18 on where its owner wants it. They are told by their
/// names, which no other column has.
fn generated<'a>(
    known: &'a KnownTable,
    relation: &'a Relation,
    catalog: &'a CatalogTable,
) -> impl Iterator<Item = Candidate<'a>> {
    let live = catalog.table.columns.iter().filter(|live| live.generated);
    live.filter_map(move |live| {
        let attribute = catalog.attribute(live.attnum)?;
        let seen = (live.name.as_str(), attribute.type_oid, attribute.type_modifier);
        let is_sent = |sent: &RelationColumn| (sent.name.as_str(), sent.type_oid, sent.type_modifier) == seen;
        let is_another =
            known.columns.iter().any(|column| column.name == live.name || column.attnum == live.attnum);
        (relation.columns.iter().any(is_sent) && !is_another).then(|| Candidate {
            attnum: live.attnum,
            seen: vec![seen],
            is_certain: true,
            stays: false,
            is_unseen: false,
        })
    })
}

// === impl Candidate ===

impl Candidate<'_> {
    /// The names that it is known to have had.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(|(name, ..)| *name)
    }

    /// Whether it is known to have had this name, or any, and this type, at some time.
    fn may_be(&self, sent: &RelationColumn, any_name: bool) -> bool {
        (any_name || self.names().any(|name| name == sent.name))
            && self
                .seen
                .iter()
                .any(|(_, oid, modifier)| (*oid, *modifier) == (sent.type_oid, sent.type_modifier))
    }
}

// === impl Search ===

impl Search<'_> {
    /// Finds all choices that go on with the candidates from `at`. `ended`: a column was not there yet, nor were those that
    /// were added behind it.
    fn from(&mut self, at: usize, ended: bool) {
        if self.found.len() >= MAX_CHOICES {
            return;
        }
        let missing = self.described.len() - self.chosen.len();
        let Some(candidate) = self.candidates.get(at) else {
            if missing == 0 {
                self.found.push(self.chosen.clone());
            }
            return;
        };
        let rest = self.candidates.get(at..).unwrap_or_default();
        if missing > rest.len() || rest.iter().filter(|candidate| candidate.is_certain).count() > missing {
            return;
        }
        let (is_certain, stays, is_new) =
            (candidate.is_certain, candidate.stays, candidate.stays || candidate.is_unseen);
        if missing > 0 && !(ended && is_new) {
            self.chosen.push(at);
            self.from(at + 1, ended);
            self.chosen.pop();
        }
        if !is_certain {
            self.from(at + 1, ended || stays);
        }
    }
}
