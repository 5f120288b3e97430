//! The function's environment: read once, at the cold start.

use std::{collections::HashMap, env};

/// The environment variables as they were when the process began.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

/// A variable that stops the cold start.
#[derive(Debug, thiserror::Error)]
pub enum BadVariable {
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    #[error("the environment variable {name} must be a whole number, not {value:?}")]
    NotANumber { name: &'static str, value: String },
}

impl Environment {
    /// The environment of this process. A variable that is not UTF-8 counts as missing.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        env::vars_os().filter_map(text).collect()
    }

    /// The value of a variable that must be there.
    pub fn required(&self, name: &'static str) -> Result<&str, BadVariable> {
        self.optional(name).ok_or(BadVariable::Missing(name))
    }

    /// The value of a variable, where it is there and not empty.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable that must be a whole number.
    pub fn number(&self, name: &'static str) -> Result<u32, BadVariable> {
        let value = self.required(name)?;
        value.parse().map_err(|_| BadVariable::NotANumber { name, value: value.to_owned() })
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_missing_or_no_number_names_itself() {
        let variables = [("HOURS", "two"), ("EMPTY", "")];
        let environment: Environment = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let message = |error: BadVariable| error.to_string();
        for name in ["TABLE", "EMPTY"] {
            let error = message(environment.required(name).unwrap_err());
            assert_eq!(error, format!("the environment variable {name} is not set"));
        }
        assert!(message(environment.number("HOURS").unwrap_err()).contains("HOURS"));
    }
}
