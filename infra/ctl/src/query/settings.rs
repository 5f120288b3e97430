//! The settings at the head of a saved query.
//!
//! A saved query begins with a common table expression, one setting a line:
//!
//! ```sql
//! WITH settings AS (
//!   SELECT 'flight-delay' AS endpoint,
//!          CAST(current_date AS varchar) AS last_day,
//!          10 AS period_length
//! ),
//! ```

use chrono::NaiveDate;

const HEAD: &str = "WITH settings AS (";

/// A setting of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting<'q> {
    pub(super) name: &'q str,
    /// The expression that gives its value.
    pub(super) value: &'q str,
}

/// The settings of a query, in their order; none where it does not begin with any.
pub(super) fn settings(sql: &str) -> Vec<Setting<'_>> {
    lines(sql).filter_map(setting).collect()
}

/// The query with another value of one of its settings; `None` where it has no such setting.
///
/// # Errors
///
/// What is wrong with the value: a setting that is a number or a day takes no other.
pub(super) fn set(sql: &str, name: &str, value: &str) -> Option<Result<String, String>> {
    let setting = settings(sql).into_iter().find(|setting| setting.name == name)?;
    Some(literal(setting.value, value).map(|literal| {
        // A slice of the query, so this is its place there.
        let from = setting.value.as_ptr().addr() - sql.as_ptr().addr();
        format!("{}{literal}{}", &sql[..from], &sql[from + setting.value.len()..])
    }))
}

/// The lines between the parentheses.
fn lines(sql: &str) -> impl Iterator<Item = &str> {
    let head = sql.lines().position(|line| line.trim() == HEAD).map_or(usize::MAX, |at| at + 1);
    sql.lines().skip(head).map(str::trim).take_while(|line| !line.starts_with(')'))
}

fn setting(line: &str) -> Option<Setting<'_>> {
    if line.starts_with("--") {
        return None;
    }
    let (value, name) = line.strip_suffix(',').unwrap_or(line).rsplit_once(" AS ")?;
    Some(Setting { name, value: value.strip_prefix("SELECT ").unwrap_or(value).trim() })
}

/// A value as SQL, of the kind of the value in whose place it comes.
fn literal(former: &str, value: &str) -> Result<String, String> {
    if former.parse::<i64>().is_ok() {
        let number: i64 = value.parse().map_err(|_| format!("{value:?} is no whole number"))?;
        return Ok(number.to_string());
    }
    if former.parse::<f64>().is_ok() {
        let number = value.parse().ok().filter(|number: &f64| number.is_finite());
        // With an exponent it is a double, without one a decimal.
        return number.map(|number| format!("{number:e}")).ok_or(format!("{value:?} is no number"));
    }
    let is_day = |text: &str| text.len() == 10 && text.parse::<NaiveDate>().is_ok();
    if former.contains("current_date") && !is_day(value) {
        return Err(format!("{value:?} is no day such as 2026-01-31"));
    }
    Ok(format!("'{}'", value.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "-- Which?\n--\nWITH settings AS (\n  SELECT 'flight-delay' AS endpoint,\n         \
        -- A comment AS well,\n         CAST(current_date - INTERVAL '1' DAY AS varchar) AS first_day,\n         \
        10 AS period_length,\n         0.5e0 AS threshold\n),\nscored AS (\n  SELECT 1 AS endpoint\n)\nSELECT 2 AS two\n";

    #[test]
    fn a_setting_is_replaced_in_its_place_only() {
        let changed = set(SQL, "endpoint", "it's").unwrap().unwrap();
        assert_eq!(changed, SQL.replace("'flight-delay'", "'it''s'"));
        let changed = set(SQL, "first_day", "2013-01-01").unwrap().unwrap();
        let day = "CAST(current_date - INTERVAL '1' DAY AS varchar)";
        assert_eq!(changed, SQL.replace(day, "'2013-01-01'"));
        let changed = set(SQL, "threshold", "0.25").unwrap().unwrap();
        assert_eq!(changed, SQL.replace("0.5e0", "2.5e-1"));
        assert_eq!(set(SQL, "two", "3"), None);
        assert_eq!(set("SELECT 2 AS two", "two", "3"), None);
    }

    #[test]
    fn a_value_is_of_the_settings_kind() {
        let wrong = |name, value| set(SQL, name, value).unwrap().unwrap_err();
        assert!(wrong("period_length", "7); DROP").contains("no whole number"));
        assert!(wrong("threshold", "inf").contains("no number"));
        for day in ["2013-1-1", "2013-02-30", "yesterday"] {
            assert!(wrong("first_day", day).contains("no day"), "{day}");
        }
    }
}
