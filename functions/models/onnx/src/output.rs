//! The score: which numbers of the graph's outputs it has, and under which names.

use std::fmt;

use rendezvous_core::{Failure, FailureKind, Json};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::graph::{Data, Kind, Port, Table, Texts};

/// One member of the score: an entry of the card's `outputs`. A text instead is its name alone.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the names are the card's")]
pub(crate) struct Output {
    name: String,
    /// The graph's output that it is in.
    output: Option<String>,
    /// The column of that output, from 0 on.
    column: Option<usize>,
}

impl Output {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a name alone.
    fn is_plain(&self) -> bool {
        self.output.is_none() && self.column.is_none()
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Entry)
    }
}

struct Entry;

impl<'de> Visitor<'de> for Entry {
    type Value = Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or an object with a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Output, E> {
        Ok(Output { name: name.to_owned(), output: None, column: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Output, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            name: String,
            output: Option<String>,
            column: Option<usize>,
        }
        let Object { name, output, column } =
            Object::deserialize(MapAccessDeserializer::new(members))?;
        Ok(Output { name, output, column })
    }
}

/// The members of the score, and where the graph's outputs have them.
#[derive(Debug)]
pub(crate) struct Scores {
    members: Vec<Member>,
    /// The graph's outputs that are needed.
    wanted: Vec<usize>,
}

#[derive(Debug)]
struct Member {
    output: Output,
    /// The name as JSON.
    key: String,
    /// The place in `wanted`.
    table: usize,
    column: usize,
    kind: Kind,
}

impl Scores {
    /// Finds the graph's outputs. Errors begin with the place in the card.
    pub(crate) fn new(outputs: &[Output], ports: &[Port]) -> Result<Self, String> {
        let mut wanted = Vec::new();
        let mut members = Vec::new();
        for (i, output) in outputs.iter().enumerate() {
            let wrong = |what: String| format!("/outputs/{i}: {what}");
            let port = find(output, ports).map_err(wrong)?;
            let kind = ports[port].kind.ok_or_else(|| {
                wrong(format!("the graph's output {} is of no supported type", ports[port].name))
            })?;
            let table = wanted.iter().position(|known| *known == port).unwrap_or(wanted.len());
            if table == wanted.len() {
                wanted.push(port);
            }
            let key = serde_json::to_string(&output.name).map_err(|e| wrong(e.to_string()))?;
            let column = output.column.unwrap_or(0);
            members.push(Member { output: output.clone(), key, table, column, kind });
        }
        Ok(Self { members, wanted })
    }

    /// The graph's outputs that the tables of a run are.
    pub(crate) fn wanted(&self) -> &[usize] {
        &self.wanted
    }

    /// Finds the columns, now that the tables of a run are known. Errors begin with the place in the card.
    pub(crate) fn find_columns(&mut self, tables: &[Table]) -> Result<(), String> {
        let names = self.members.iter().filter(|member| member.output.is_plain()).count();
        let mut next = 0;
        for (i, Member { output, table, column, .. }) in self.members.iter_mut().enumerate() {
            let columns = tables.get(*table).map_or(0, |table| table.columns);
            let wrong = |what: String| Err(format!("/outputs/{i}: {what}"));
            if output.is_plain() {
                *column = match (names, columns) {
                    // Of two classes, the second is the one that is asked about.
                    (1, 2) => 1,
                    _ if names == columns => next,
                    _ => {
                        return wrong(format!(
                            "the graph's output has {columns} columns, but the card has {names} names \
                             for them"
                        ));
                    }
                };
                next += 1;
            } else if output.column.is_none() && columns != 1 {
                return wrong(format!(
                    "the graph's output has {columns} columns: add the member column, 0 to {}",
                    columns.saturating_sub(1)
                ));
            } else if *column >= columns {
                return wrong(format!(
                    "column {column} does not exist: the graph's output has {columns} columns"
                ));
            }
        }
        Ok(())
    }

    /// The score of one row of a run.
    pub(crate) fn score(
        &self,
        row: usize,
        tables: &[Table],
        texts: &Texts,
    ) -> Result<Json, Failure> {
        let failed = |what: &dyn fmt::Display| Failure::new(FailureKind::Failed, what);
        let mut text = String::with_capacity(48);
        for Member { output, key, table, column, kind } in &self.members {
            text.push(if text.is_empty() { '{' } else { ',' });
            text = text + key + ":";
            let place = tables.get(*table).map(|table| (row * table.columns + column, &table.data));
            let value = match place {
                Some((i, Data::Floats(data))) => data.get(i).and_then(|n| float(*n)),
                Some((i, Data::Whole(data))) => data.get(i).and_then(|n| whole(*n, *kind, texts)),
                None => None,
            };
            let Some(value) = value else {
                let what = if *kind == Kind::Text { "text of the model" } else { "finite number" };
                return Err(failed(&format_args!("{} is not a {what}", output.name)));
            };
            text += &value;
        }
        text.push('}');
        Json::parse(&text).map_err(|invalid| failed(&invalid))
    }
}

fn float(number: f32) -> Option<String> {
    number.is_finite().then(|| serde_json::to_string(&number).ok())?
}

fn whole(number: i32, kind: Kind, texts: &Texts) -> Option<String> {
    match kind {
        Kind::Text => texts.text(number).and_then(|text| serde_json::to_string(text).ok()),
        Kind::Bool => Some((number != 0).to_string()),
        Kind::Float | Kind::Whole => Some(number.to_string()),
    }
}

/// The graph's output of an entry: the one that it names, or else the scores.
fn find(output: &Output, ports: &[Port]) -> Result<usize, String> {
    let all = || ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &output.output {
        let place = ports.iter().position(|port| port.name == *name);
        return place.ok_or_else(|| format!("the graph has no output {name}, but {}", all()));
    }
    let floats = |(_, port): &(usize, &Port)| ports.len() == 1 || port.kind == Some(Kind::Float);
    let mut scores = ports.iter().enumerate().filter(floats);
    match (scores.next(), scores.next()) {
        (Some((place, _)), None) => Ok(place),
        _ => Err(format!("add the member output, one of the graph's: {}", all())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Vec<Port> {
        let port = |name: &str, kind| Port { name: name.to_owned(), kind: Some(kind), shape: None };
        vec![port("label", Kind::Text), port("probabilities", Kind::Float)]
    }

    fn floats(columns: usize) -> Table {
        Table { columns, data: Data::Floats((0_u8..).take(2 * columns).map(f32::from).collect()) }
    }

    /// The score of the second row.
    fn score(outputs: &str, ports: &[Port], tables: &[Table]) -> Result<String, String> {
        let outputs: Vec<Output> = serde_json::from_str(outputs).unwrap();
        let mut scores = Scores::new(&outputs, ports)?;
        scores.find_columns(tables)?;
        let score = scores.score(1, tables, &Texts::default());
        score.map(|score| score.as_str().to_owned()).map_err(|failure| failure.message)
    }

    #[test]
    fn names_are_the_columns_of_the_scores_and_one_name_is_the_last_of_two_classes() {
        let only = &ports()[1..];
        assert_eq!(
            score(r#"["a", "b", "c"]"#, only, &[floats(3)]).unwrap(),
            r#"{"a":3.0,"b":4.0,"c":5.0}"#
        );
        assert_eq!(score(r#"["late"]"#, &ports(), &[floats(2)]).unwrap(), r#"{"late":3.0}"#);
        assert_eq!(score(r#"["y"]"#, only, &[floats(1)]).unwrap(), r#"{"y":1.0}"#);
        let whole = [Port { name: "y".to_owned(), kind: Some(Kind::Whole), shape: None }];
        let table = Table { columns: 1, data: Data::Whole(vec![7, 8]) };
        assert_eq!(score(r#"["y"]"#, &whole, &[table]).unwrap(), r#"{"y":8}"#);
    }

    #[test]
    fn an_entry_names_its_output_and_column() {
        let outputs = r#"[{"name": "first", "column": 0}, {"name": "is \"1\"", "output": "probabilities", "column": 1}]"#;
        let text = score(outputs, &ports(), &[floats(2)]).unwrap();
        assert_eq!(text, r#"{"first":2.0,"is \"1\"":3.0}"#);
    }

    #[test]
    fn what_differs_between_card_and_graph_is_named() {
        for (outputs, columns, message) in [
            (
                r#"[{"name": "p", "output": "probability"}]"#,
                2,
                "/outputs/0: the graph has no output probability, but label, probabilities",
            ),
            (
                r#"["a"]"#,
                3,
                "/outputs/0: the graph's output has 3 columns, but the card has 1 names for them",
            ),
            (
                r#"["a", "b"]"#,
                3,
                "/outputs/0: the graph's output has 3 columns, but the card has 2 names for them",
            ),
            (
                r#"[{"name": "p", "output": "probabilities"}]"#,
                2,
                "/outputs/0: the graph's output has 2 columns: add the member column, 0 to 1",
            ),
            (
                r#"[{"name": "p", "column": 2}]"#,
                2,
                "/outputs/0: column 2 does not exist: the graph's output has 2 columns",
            ),
        ] {
            assert_eq!(score(outputs, &ports(), &[floats(columns)]).unwrap_err(), message);
        }
        let two = [ports().remove(1), ports().remove(1)];
        let error = score(r#"["a"]"#, &two, &[floats(1)]).unwrap_err();
        assert_eq!(
            error,
            "/outputs/0: add the member output, one of the graph's: probabilities, probabilities"
        );
    }

    #[test]
    fn a_number_that_json_does_not_have_and_a_text_that_the_file_does_not_have_are_failures() {
        let table = Table { columns: 1, data: Data::Floats(vec![0.0, f32::NAN]) };
        let error = score(r#"["p"]"#, &ports()[1..], &[table]).unwrap_err();
        assert_eq!(error, "p is not a finite number");
        let table = Table { columns: 1, data: Data::Whole(vec![-1, -1]) };
        let error = score(r#"["l"]"#, &ports()[..1], &[table]).unwrap_err();
        assert_eq!(error, "l is not a text of the model");
    }
}
