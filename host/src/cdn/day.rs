//! Days of the calendar.

use wirehaul_core::cdn::Date;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The day, in UTC, of so many seconds after the beginning of 1970; `None` after the year 9999.
///
/// The arithmetic is that of years that begin in March, so that the day that is sometimes there comes last.
#[must_use]
pub fn day_of_unix(seconds: u64) -> Option<Date> {
    const DAYS_PER_ERA: u64 = 146_097;
    // Days from the first of March of the year 0 to the beginning of 1970.
    const TO_1970: u64 = 719_468;
    let days = seconds / SECONDS_PER_DAY + TO_1970;
    let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    // All of these leap days were before the day; the last day of an era is one itself.
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let year = u16::try_from(year).ok().filter(|year| *year <= 9_999)?;
    // 1 to 12, and 1 to 31.
    Some(Date::new(year, month as u8, day as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_known() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day_of_unix(seconds).unwrap().to_string(), expected, "{seconds}");
        }
        assert_eq!(day_of_unix(u64::MAX), None);
    }

    #[test]
    fn no_day_is_left_out() {
        let mut last = day_of_unix(0).unwrap();
        for day in 1..100_000 {
            let next = day_of_unix(day * SECONDS_PER_DAY).unwrap();
            let ((_, month, day), (_, _, last_day)) = (next.parts(), last.parts());
            assert!(next > last && (day == last_day + 1 || (day == 1 && last_day >= 28)) && (1..=12).contains(&month));
            last = next;
        }
    }
}
