//! Field checks that many routes share (spec: api.md 4, 8). The first that fails is answered.
//!
//! The limits are OpenIM's where it has any, and generous ones where it has none.

use crate::store::Page;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::sdkws::RequestPagination;
use std::collections::HashSet;

/// Longest id, characters.
pub(super) const MAX_ID: usize = 64;

/// Longest nickname, characters.
pub(super) const MAX_NAME: usize = 255;

/// Longest free text (`ex`, `faceURL`), bytes.
pub(super) const MAX_TEXT: usize = 64 << 10;

/// Longest list, entries; also the largest page.
pub(super) const MAX_LIST: usize = 1_000;

/// A field that must not be empty.
///
/// # Errors
/// 1001 `<name> is empty`.
pub(super) fn present(name: &str, value: &str) -> Result<(), ApiError> {
    if value.is_empty() {
        Err(ApiError::args(format!("{name} is empty")))
    } else {
        Ok(())
    }
}

/// A list that must be there and within [`MAX_LIST`].
///
/// # Errors
/// 1001.
pub(super) fn list<T>(name: &str, values: &[T]) -> Result<(), ApiError> {
    if values.is_empty() {
        return Err(ApiError::args(format!("{name} is empty")));
    }
    short_list(name, values)
}

/// A list that may be empty.
///
/// # Errors
/// 1001 beyond [`MAX_LIST`].
pub(super) fn short_list<T>(name: &str, values: &[T]) -> Result<(), ApiError> {
    if values.len() > MAX_LIST {
        return Err(ApiError::args(format!(
            "{name} has more than {MAX_LIST} entries"
        )));
    }
    Ok(())
}

/// A list without repeats.
///
/// # Errors
/// 1001.
pub(super) fn unique(name: &str, values: &[String]) -> Result<(), ApiError> {
    let mut seen = HashSet::with_capacity(values.len());
    if values.iter().all(|value| seen.insert(value)) {
        return Ok(());
    }
    Err(ApiError::args(format!("{name} repeated")))
}

/// A text of at most `max` characters.
///
/// # Errors
/// 1001.
pub(super) fn length(name: &str, value: &str, max: usize) -> Result<(), ApiError> {
    if value.len() > max && value.chars().count() > max {
        return Err(ApiError::args(format!("{name} is longer than {max}")));
    }
    Ok(())
}

/// globalRecvMsgOpt: 0, 1 or 2.
///
/// # Errors
/// 1001.
pub(super) fn global_recv_opt(value: i32) -> Result<(), ApiError> {
    if (0..=2).contains(&value) {
        Ok(())
    } else {
        Err(ApiError::args("GlobalRecvMsgOpt is invalid"))
    }
}

/// The page of a pagination. Pages are never shortened: clients stop at the first short one.
///
/// # Errors
/// 1001 without a pagination, for a page number below 1, or for a page beyond [`MAX_LIST`].
pub(super) fn page(pagination: Option<&RequestPagination>) -> Result<Page, ApiError> {
    let Some(pagination) = pagination else {
        return Err(ApiError::args("pagination is empty"));
    };
    if pagination.page_number < 1 {
        return Err(ApiError::args("pageNumber is invalid"));
    }
    if pagination.show_number > MAX_LIST as i32 {
        return Err(ApiError::args(format!("showNumber is above {MAX_LIST}")));
    }
    Ok(Page::numbered(
        pagination.page_number,
        pagination.show_number,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_refused_or_exact() {
        let page = |page_number, show_number| {
            page(Some(&RequestPagination {
                page_number,
                show_number,
            }))
        };
        assert_eq!(
            page(3, 100).unwrap(),
            Page {
                offset: 200,
                limit: 100
            }
        );
        assert_eq!(page(1, -1).unwrap().limit, 0);
        assert!(page(i32::MAX, 1000).unwrap().offset > 2_000_000_000);
        assert!(page(0, 10).is_err());
        assert!(page(1, 1001).is_err());
        assert!(super::page(None).is_err());
    }

    #[test]
    fn lengths_count_characters() {
        assert!(length("id", &"ü".repeat(64), MAX_ID).is_ok());
        assert!(length("id", &"u".repeat(65), MAX_ID).is_err());
        assert!(unique("x", &["a".into(), "b".into()]).is_ok());
        assert!(unique("x", &["a".into(), "a".into()]).is_err());
        assert!(list::<i32>("x", &[]).is_err());
        assert!(short_list("x", &vec![0; 1001]).is_err());
    }
}
