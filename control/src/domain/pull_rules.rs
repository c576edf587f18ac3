//! Which seqs a pull returns (spec: message.md 7.2, 7.3). Pure functions.

use ringwire_protocol::pb::sdkws::PullOrder;

/// The seqs of a range pull, before anything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected {
    /// First seq.
    pub begin: i64,
    /// Last seq.
    pub end: i64,
}

/// The seqs of `begin..=end` that are returned of what is visible (`first..=last`); `num` caps a chat,
/// `None` (notification streams) returns all. With more than `num`, the highest are returned.
pub fn select(
    begin: i64,
    end: i64,
    num: Option<i64>,
    (first, last): (i64, i64),
) -> Option<Selected> {
    let begin = begin.max(first).max(1);
    let end = end.min(last);
    if begin > end {
        return None;
    }
    match num {
        Some(num) if num <= 0 => None,
        // Both are at least 1 here: nothing overflows.
        Some(num) => Some(Selected {
            begin: begin.max(end.saturating_sub(num - 1)),
            end,
        }),
        None => Some(Selected { begin, end }),
    }
}

/// What came back of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Lower seqs were left out for want of room.
    pub low: bool,
    /// Higher seqs were left out for want of room.
    pub high: bool,
}

/// `isEnd` of a range pull: nothing is left beyond the requested side. What was left out for want of
/// room is left.
pub fn range_is_end(
    order: PullOrder,
    begin: i64,
    end: i64,
    (first, last): (i64, i64),
    cut: Cut,
) -> bool {
    match order {
        PullOrder::Asc => last <= end && !cut.high,
        PullOrder::Desc => begin <= first && !cut.low,
    }
}

/// The seqs of a list pull that are visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// As requested, invisible ones and repeats left out.
    pub seqs: Vec<i64>,
    /// The requested side ends here.
    pub is_end: bool,
    /// First or last visible seq when it does.
    pub end_seq: i64,
}

/// Drops the seqs outside what is visible (`first..=last`).
pub fn list(seqs: &[i64], order: PullOrder, (first, last): (i64, i64)) -> Listed {
    let mut listed = Listed::default();
    let mut seen = std::collections::HashSet::new();
    for &seq in seqs {
        if seq < first {
            if order == PullOrder::Desc {
                (listed.is_end, listed.end_seq) = (true, first);
            }
        } else if seq > last {
            if order == PullOrder::Asc {
                (listed.is_end, listed.end_seq) = (true, last);
            }
        } else if seen.insert(seq) {
            listed.seqs.push(seq);
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_follow_the_window_and_keep_the_highest() {
        // (begin, end, num, visible) -> selected
        let cases = [
            ((1, 10, Some(100), (1, 10)), Some((1, 10))),
            ((0, 10, Some(100), (1, 10)), Some((1, 10))),
            ((-5, i64::MAX, Some(3), (1, 10)), Some((8, 10))),
            ((1, 10, Some(3), (1, 10)), Some((8, 10))),
            ((1, 10, Some(1), (1, 10)), Some((10, 10))),
            ((1, 10, Some(0), (1, 10)), None),
            ((1, 10, Some(-1), (1, 10)), None),
            ((1, 10, Some(5), (4, 6)), Some((4, 6))),
            ((7, 10, Some(5), (4, 6)), None),
            ((1, 3, Some(5), (4, 6)), None),
            ((9, 8, Some(5), (1, 10)), None),
            ((1, 10, Some(5), (1, 0)), None),
            ((2, i64::MAX, None, (1, 900)), Some((2, 900))),
            (
                (i64::MIN, i64::MAX, Some(i64::MAX), (1, i64::MAX)),
                Some((1, i64::MAX)),
            ),
        ];
        for ((begin, end, num, visible), expected) in cases {
            let got = select(begin, end, num, visible).map(|s| (s.begin, s.end));
            assert_eq!(got, expected, "{begin}..{end} num {num:?} of {visible:?}");
        }
    }

    #[test]
    fn the_end_of_a_range_is_told_by_its_order() {
        use PullOrder::{Asc, Desc};
        let none = Cut::default();
        let cases = [
            (Asc, 1, 10, (1, 10), none, true),
            (Asc, 1, 9, (1, 10), none, false),
            (
                Asc,
                1,
                10,
                (1, 10),
                Cut {
                    high: true,
                    low: false,
                },
                false,
            ),
            (
                Asc,
                1,
                10,
                (1, 10),
                Cut {
                    high: false,
                    low: true,
                },
                true,
            ),
            (Desc, 1, 5, (1, 10), none, true),
            (Desc, 2, 5, (1, 10), none, false),
            (Desc, 2, 5, (3, 10), none, true),
            (
                Desc,
                1,
                5,
                (1, 10),
                Cut {
                    high: false,
                    low: true,
                },
                false,
            ),
        ];
        for (order, begin, end, visible, cut, expected) in cases {
            assert_eq!(
                range_is_end(order, begin, end, visible, cut),
                expected,
                "{order:?} {begin}..{end} {visible:?} {cut:?}"
            );
        }
    }

    #[test]
    fn lists_drop_what_is_invisible_and_tell_the_end() {
        use PullOrder::{Asc, Desc};
        let listed = |seqs: &[i64], is_end, end_seq| Listed {
            seqs: seqs.to_vec(),
            is_end,
            end_seq,
        };
        let cases = [
            (vec![5, 4, 3], Desc, (1, 10), listed(&[5, 4, 3], false, 0)),
            (vec![3, 2, 1], Desc, (2, 10), listed(&[3, 2], true, 2)),
            (vec![3, 2, 1], Asc, (2, 10), listed(&[3, 2], false, 0)),
            (vec![9, 10, 11], Asc, (1, 10), listed(&[9, 10], true, 10)),
            (vec![9, 10, 11], Desc, (1, 10), listed(&[9, 10], false, 0)),
            (vec![1, 0, -7], Desc, (5, 10), listed(&[], true, 5)),
            (vec![7, 7, 8, 7], Asc, (1, 10), listed(&[7, 8], false, 0)),
        ];
        for (seqs, order, visible, expected) in cases {
            assert_eq!(
                list(&seqs, order, visible),
                expected,
                "{seqs:?} {order:?} {visible:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_outside_the_window_is_ever_selected(
            begin: i64, end: i64, num: i64, first in 1i64..100, last in 0i64..100, seqs: Vec<i64>,
        ) {
            if let Some(s) = select(begin, end, Some(num), (first, last)) {
                prop_assert!(first <= s.begin && s.begin <= s.end && s.end <= last);
                prop_assert!(begin <= s.begin && s.end <= end && s.end - s.begin < num);
            }
            let listed = list(&seqs, PullOrder::Desc, (first, last));
            prop_assert!(listed.seqs.iter().all(|s| first <= *s && *s <= last));
        }
    }
}
