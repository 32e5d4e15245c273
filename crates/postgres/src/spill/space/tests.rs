use super::*;

use proptest::prelude::*;

const GIB: u64 = 1 << 30;

fn space(limit: u64) -> (tempfile::TempDir, SpillSpace) {
    let directory = tempfile::tempdir().unwrap();
    let space = SpillSpace::new(directory.path().join("a").join("b"), Some(limit));
    (directory, space)
}

#[test]
fn room_is_what_limit_or_disk_leave() {
    let disk = |free, size| Some(Disk { free, size });
    let counts = |claimed, written| Counts { claimed, written };
    assert_eq!(room(Some(100), disk(7, 7), counts(30, 0)), 70);
    assert_eq!(room(Some(100), None, counts(130, 0)), 0);
    assert_eq!(room(None, None, counts(30, 0)), u64::MAX);
    assert_eq!(room(None, disk(5 * GIB, 100 * GIB), counts(0, 0)), 4 * GIB);
    assert_eq!(
        room(None, disk(5 * GIB, 100 * GIB), counts(3 * GIB, 2 * GIB)),
        3 * GIB,
        "what is written is not free"
    );
    assert_eq!(room(None, disk(90, 100), counts(0, 0)), 80, "a tenth of a small one");
    assert_eq!(room(None, disk(GIB / 2, 100 * GIB), counts(0, 0)), 0);
}

#[test]
fn file_counts_until_it_is_dropped() {
    let (_directory, space) = space(10);
    let share = space.try_claim(4).unwrap();
    let mut file = space.file(share).unwrap();
    file.append(b"abc").unwrap();
    assert_eq!(space.counts(), Counts { claimed: 4, written: 3 });
    file.append(b"defg").unwrap();
    assert_eq!(space.counts(), Counts { claimed: 7, written: 7 });
    let mut found = Vec::new();
    file.read(2, 3, &mut found).unwrap();
    assert_eq!(found, b"cde");
    let refused = file.append(b"hijk").unwrap_err();
    assert!(is_refusal(&refused));
    assert_eq!(file.length(), 7, "nothing of what was refused is there");
    assert_eq!(std::fs::read_dir(space.directory()).unwrap().count(), 0, "the file has no name");
    drop(file);
    assert_eq!(space.counts(), Counts::default());
}

#[test]
fn refusals_name_limit_or_disk() {
    let (_directory, space) = space(10);
    let refused = space.try_claim(11).unwrap_err().downcast::<SpillError>().unwrap();
    assert!(matches!(refused, SpillError::Limit { limit: 10, needed: 11, .. }), "{refused:?}");
    let unlimited = SpillSpace::new(space.directory(), None);
    let refused = unlimited.try_claim(u64::MAX / 2).unwrap_err();
    assert!(is_refusal(&refused));
    let refused = refused.downcast::<SpillError>().unwrap();
    assert!(matches!(refused, SpillError::Failed { .. }), "{refused:?}");
    assert_eq!(unlimited.used(), 0);
}

#[tokio::test]
async fn waiting_ends_when_there_is_room_or_nobody_to_wait_for() {
    let (_directory, space) = space(10);
    let (own, others) = (space.try_claim(3).unwrap(), space.try_claim(5).unwrap());
    let waiting = space.wait(6, 3);
    tokio::pin!(waiting);
    assert!(is_pending(waiting.as_mut()).await, "others hold what is needed");
    drop(others);
    waiting.await;
    assert!(space.try_claim(6).is_ok());
    space.wait(100, 3).await;
    assert!(space.try_claim(100).is_err());
    drop(own);
}

/// Whether a future waits.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

proptest! {
    /// Whatever is claimed, split, written and dropped: the bound holds, and at the end everything is given back.
    #[test]
    fn nothing_is_counted_twice_or_forgotten(steps in proptest::collection::vec((0_u8..4, 0_u64..40), 0..60)) {
        let (_directory, space) = space(100);
        let (mut shares, mut files) = (Vec::new(), Vec::new());
        for (step, bytes) in steps {
            match step {
                0 => shares.extend(space.try_claim(bytes).ok()),
                1 => {
                    let part = shares.last_mut().map(|share: &mut Share| share.split(bytes));
                    shares.extend(part);
                }
                2 => files.extend(shares.pop().map(|share| space.file(share).unwrap())),
                _ => match files.last_mut() {
                    Some(file) if bytes > 0 => {
                        let _may_be_full = SpillFile::append(file, &vec![1; usize::try_from(bytes).unwrap()]);
                    }
                    _ => drop(files.pop()),
                },
            }
            let held = shares.iter().map(|share| share.bytes).sum::<u64>()
                + files.iter().map(|file| file.share.bytes).sum::<u64>();
            let written = files.iter().map(SpillFile::length).sum::<u64>();
            prop_assert_eq!(space.counts(), Counts { claimed: held, written });
            prop_assert!(space.used() <= 100 && written <= held);
        }
        drop((shares, files));
        prop_assert_eq!(space.counts(), Counts::default());
    }
}
