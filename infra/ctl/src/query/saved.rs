//! Which saved queries there are.

use serde_json::{Value, json};
use yaml_rust2::YamlLoader;

use super::settings::{set, settings};
use crate::{
    failure::Failure,
    output::{Output, table},
};

/// `infra/analytics.yaml`, where the SQL is.
pub const TEMPLATE: &str = include_str!("../../../analytics.yaml");

/// A saved query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub name: String,
    /// The question that it answers.
    pub description: String,
    /// In the dialect of Athena.
    pub sql: String,
    /// The database of its tables in the stack.
    pub database: Option<String>,
}

/// The saved queries of the template.
pub fn of_template() -> Result<Vec<Saved>, Failure> {
    let wrong = |what: String| Failure::Failed(format!("infra/analytics.yaml: {what}"));
    let parsed = YamlLoader::load_from_str(TEMPLATE).map_err(|error| wrong(error.to_string()))?;
    let resources = parsed.first().and_then(|template| template["Resources"].as_hash());
    let resources = resources.ok_or_else(|| wrong("it has no resources".to_owned()))?;
    let queries = resources.values().filter_map(|resource| {
        let text = |key: &str| resource["Properties"][key].as_str().map(str::to_owned);
        (resource["Type"].as_str() == Some("AWS::Athena::NamedQuery")).then_some(())?;
        let (name, description) = (text("Name")?, text("Description")?);
        Some(Saved { name, description, sql: text("QueryString")?, database: None })
    });
    Ok(queries.collect())
}

/// The names of the queries, and which question each answers; as JSON, its settings, too.
pub fn list(queries: &[Saved]) -> Output {
    let mut lines = vec![vec!["query".to_owned(), "question".to_owned()]];
    lines.extend(queries.iter().map(|query| vec![query.name.clone(), query.description.clone()]));
    let json = queries.iter().map(|query| {
        let settings = settings(&query.sql).into_iter();
        let settings: serde_json::Map<String, Value> =
            settings.map(|each| (each.name.to_owned(), each.value.into())).collect();
        json!({ "name": query.name, "description": query.description, "settings": settings })
    });
    Output { text: table(&lines, &[]), json: json.collect() }
}

/// The query of this name.
pub fn find<'q>(queries: &'q [Saved], name: &str) -> Result<&'q Saved, Failure> {
    let mut found = queries.iter().filter(|query| query.name == name);
    match (found.next(), found.next()) {
        (Some(query), None) => Ok(query),
        (Some(_), Some(_)) => Err(Failure::Failed(format!(
            "there is more than one query {name}: rename those that were saved by hand"
        ))),
        (None, _) => {
            let names: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::Usage(format!("there is no query {name}; there is {known}")))
        }
    }
}

impl Saved {
    /// The query's SQL with other values of some of its settings.
    pub fn with(&self, changes: &[(String, String)]) -> Result<String, Failure> {
        let mut sql = self.sql.clone();
        for (name, value) in changes {
            sql = match set(&sql, name, value) {
                Some(Ok(other)) => other,
                Some(Err(why)) => return Err(Failure::Usage(format!("{name}: {why}"))),
                None => {
                    return Err(Failure::Usage(format!(
                        "{} has no setting {name}; it has {}",
                        self.name,
                        said(&self.sql)
                    )));
                }
            };
        }
        Ok(sql)
    }
}

/// The settings of a query and their values, for people.
pub fn said(sql: &str) -> String {
    let settings = settings(sql).into_iter();
    let settings: Vec<String> =
        settings.map(|each| format!("{} = {}", each.name, each.value)).collect();
    if settings.is_empty() { "none".to_owned() } else { settings.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_queries_and_their_settings_are_found() {
        let queries = of_template().unwrap();
        assert_eq!(queries.len(), TEMPLATE.matches("Type: AWS::Athena::NamedQuery").count());
        for query in &queries {
            let settings = settings(&query.sql);
            let names: Vec<&str> = settings.iter().map(|each| each.name).collect();
            assert!(names.contains(&"first_day") && names.contains(&"last_day"), "{query:?}");
            assert!(names.iter().all(|name| !name.contains(' ')), "{names:?}");
        }
        let drift = find(&queries, "drift").unwrap();
        assert_eq!(settings(&drift.sql).len(), 7);
        let changed = drift.with(&[("canary".to_owned(), "gbt@1".to_owned())]).unwrap();
        assert_eq!(changed, drift.sql.replace("'mlp@1' AS canary", "'gbt@1' AS canary"));
    }

    #[test]
    fn what_is_unknown_or_ambiguous_is_refused_with_what_there_is() {
        let queries = of_template().unwrap();
        let unknown = find(&queries, "leader").unwrap_err();
        assert_eq!(unknown.code(), 2);
        assert!(unknown.to_string().contains("there is leaderboard, agreement"), "{unknown}");
        let twice = [&queries[..], &queries[..1]].concat();
        assert_eq!(find(&twice, &queries[0].name).unwrap_err().code(), 1);
        let unknown = queries[0].with(&[("model".to_owned(), "x".to_owned())]).unwrap_err();
        let known = "it has endpoint = 'flight-delay', first_day = CAST(";
        assert!(unknown.to_string().contains(known), "{unknown}");
    }
}
