//! `/statistics/*` (spec: user.md 6).

use crate::app::App;
use crate::domain::caller::Caller;
use ringwire_protocol::error::ApiError;
use ringwire_protocol::pb::user::{UserRegisterCountReq, UserRegisterCountResp};

/// How many users registered on each day (UTC).
pub(super) async fn user_register(
    app: &App,
    caller: Caller,
    request: UserRegisterCountReq,
) -> Result<UserRegisterCountResp, ApiError> {
    for (name, value) in [("start", request.start), ("end", request.end)] {
        if value <= 0 {
            return Err(ApiError::args(format!("{name} is invalid")));
        }
    }
    if request.start > request.end {
        return Err(ApiError::args("start > end"));
    }
    caller.require_admin_unless(app.config.control.legacy_open_routes)?;
    let counts = app
        .stores
        .users
        .register_counts(request.start, request.end)
        .await?;
    let count = counts
        .days
        .into_iter()
        .map(|(day, users)| (date(day), users))
        .collect();
    Ok(UserRegisterCountResp {
        total: counts.total,
        before: counts.before,
        count,
    })
}

/// `YYYY-MM-DD` of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
fn date(day: i64) -> String {
    // Years are counted from March, so that a leap day is the last of its year; an era is 400 years.
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_their_dates() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(day), expected);
        }
    }
}
