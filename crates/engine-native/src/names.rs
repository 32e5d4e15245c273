//! Names of what a pipeline makes at the source.

use xxhash_rust::xxh3::xxh3_64;

/// What every name begins with.
const PREFIX: &str = "segcdc_";

/// Longest part that comes from the pipeline's name: with prefix, hash and generation it stays below PostgreSQL's 63.
const MAX_STEM: usize = 40;

/// The slot of a pipeline. The generation tells a slot that was made again from the one that the checkpoint knows.
pub fn slot(pipeline: &str, generation: u32) -> String {
    format!("{PREFIX}{}_g{generation}", stem(pipeline))
}

/// The publication of a pipeline.
pub fn publication(pipeline: &str) -> String {
    format!("{PREFIX}{}", stem(pipeline))
}

/// The name of the slot that takes the place of `slot`.
pub fn next_slot(pipeline: &str, slot: &str) -> String {
    let generation = slot.rsplit_once("_g").and_then(|(_, digits)| digits.parse::<u32>().ok());
    self::slot(pipeline, generation.map_or(1, |generation| generation.wrapping_add(1)))
}

/// The name of the publication that takes the place of `publication`, while both are there.
pub fn next_publication(pipeline: &str, publication: &str) -> String {
    let first = self::publication(pipeline);
    let number =
        publication.strip_prefix(&first).and_then(|rest| rest.strip_prefix("_p")?.parse::<u32>().ok());
    format!("{first}_p{}", number.map_or(2, |number| number.wrapping_add(1)))
}

/// A slot that lives as long as one copy of unfinished tables. `token` makes it unlike that of a process before us,
/// whose session the server may not have ended yet.
pub(crate) fn temporary_slot(pipeline: &str, token: u32) -> String {
    format!("{PREFIX}{}_t{token:08x}", stem(pipeline))
}

/// The pipeline's name in the characters of slot names. A name that had to be changed carries its hash, so that two
/// pipelines never share a slot.
fn stem(pipeline: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let clean: String = pipeline.chars().map(|c| if allowed(c) { c } else { '_' }).take(MAX_STEM).collect();
    if clean == pipeline { clean } else { format!("{clean}_{:08x}", xxh3_64(pipeline.as_bytes()) >> 32) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(slot("orders", 1), "segcdc_orders_g1");
        assert_eq!(publication("orders"), "segcdc_orders");
    }

    #[test]
    fn what_takes_a_place_has_another_name() {
        assert_eq!(next_slot("orders", "segcdc_orders_g7"), "segcdc_orders_g8");
        assert_eq!(next_slot("orders", "given"), "segcdc_orders_g1");
        assert_eq!(next_publication("orders", "segcdc_orders"), "segcdc_orders_p2");
        assert_eq!(next_publication("orders", "segcdc_orders_p2"), "segcdc_orders_p3");
        assert_eq!(next_publication("orders", "given"), "segcdc_orders_p2");
    }

    proptest! {
        #[test]
        fn every_name_is_a_slot_name(name in any::<String>(), generation in any::<u32>()) {
            for slot in [slot(&name, generation), publication(&name), temporary_slot(&name, generation)] {
                prop_assert!(segcdc_postgres::quote::slot_name(&slot).is_ok(), "{slot}");
            }
        }

        #[test]
        fn different_pipelines_have_different_slots(left in "[a-zA-Z_ ]{1,4}", right in "[a-zA-Z_ ]{1,4}") {
            prop_assume!(left != right);
            prop_assert_ne!(slot(&left, 1), slot(&right, 1));
        }
    }
}
