//! Whether the columns of a card are those that a graph takes.

use crate::{
    graph::{Kind, Port},
    input::{Input, Type},
};

/// The graph's input that each entry of the card belongs to, and what the graph's inputs hold. Errors
/// begin with the place in the card, or name the graph's input.
pub(crate) fn bind(inputs: &[Input], ports: &[Port]) -> Result<(Vec<usize>, Vec<Kind>), String> {
    let mut of = Vec::with_capacity(inputs.len());
    for (i, input) in inputs.iter().enumerate() {
        let wrong = |what: String| format!("/inputs/{i}{what}");
        let port = find(input, ports).map_err(wrong)?;
        check_type(input, &ports[port]).map_err(wrong)?;
        of.push(port);
    }
    let mut kinds = Vec::with_capacity(ports.len());
    for (i, port) in ports.iter().enumerate() {
        let columns = inputs.iter().zip(&of).filter(|(_, of)| **of == i);
        let columns: usize = columns.map(|(input, _)| input.width()).sum();
        check_columns(port, columns)?;
        let unsupported = || format!("the graph's input {} is of no supported type", port.name);
        kinds.push(port.kind.ok_or_else(unsupported)?);
    }
    Ok((of, kinds))
}

fn find(input: &Input, ports: &[Port]) -> Result<usize, String> {
    let all = || ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&input.input, ports) {
        (Some(name), _) => {
            let place = ports.iter().position(|port| port.name == *name);
            place.ok_or_else(|| format!("/input: the graph has no input {name}, but {}", all()))
        }
        (None, [_]) => Ok(0),
        (None, _) => Err(format!(": add the member input, one of the graph's: {}", all())),
    }
}

fn check_type(input: &Input, port: &Port) -> Result<(), String> {
    let Some(kind) = port.kind else { return Ok(()) };
    let fits = match input.kind {
        None => matches!(kind, Kind::Float | Kind::Whole),
        Some(Type::F32) => kind == Kind::Float,
        Some(Type::I64) => matches!(kind, Kind::Whole | Kind::Float),
        Some(Type::Bool) => kind != Kind::Text,
        Some(Type::Text) => kind == Kind::Text,
    };
    if fits && input.is_optional() && kind == Kind::Whole {
        let name = &port.name;
        return Err(format!(
            "/optional: the graph's input {name} takes whole numbers, and none missing"
        ));
    }
    if fits {
        return Ok(());
    }
    let add = match kind {
        Kind::Float => "f32",
        Kind::Whole => "i64",
        Kind::Bool => "bool",
        Kind::Text => "text",
    };
    let name = &port.name;
    Err(format!("/type: the graph's input {name} takes {kind}: the type must be {add}"))
}

fn check_columns(port: &Port, columns: usize) -> Result<(), String> {
    let name = &port.name;
    if columns == 0 {
        return Err(format!("the graph's input {name} has no column in the card"));
    }
    let takes = match port.shape.as_deref() {
        None | Some([_, None]) => return Ok(()),
        Some([_]) => 1,
        Some([_, Some(takes)]) => *takes,
        Some(shape) => {
            let rank = shape.len();
            return Err(format!(
                "the graph's input {name} has {rank} dimensions, not rows and columns"
            ));
        }
    };
    if takes != columns {
        return Err(format!(
            "the graph's input {name} takes {takes} columns, but the card has {columns}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, kind: Option<Kind>, columns: Option<usize>) -> Port {
        Port { name: name.to_owned(), kind, shape: Some(vec![None, columns]) }
    }

    fn ports() -> Vec<Port> {
        vec![
            port("age", Some(Kind::Float), Some(1)),
            port("city", Some(Kind::Text), None),
            port("visits", Some(Kind::Whole), Some(1)),
            port("member", Some(Kind::Bool), Some(1)),
        ]
    }

    const INPUTS: &str = r#"[
        {"field": "/age", "input": "age"},
        {"field": "/city", "input": "city", "type": "text"},
        {"field": "/visits", "input": "visits"},
        {"field": "/member", "input": "member", "type": "bool"}
    ]"#;

    fn bound(inputs: &str, ports: &[Port]) -> Result<(Vec<usize>, Vec<Kind>), String> {
        bind(&serde_json::from_str::<Vec<Input>>(inputs).unwrap(), ports)
    }

    #[test]
    fn columns_go_to_the_inputs_that_they_name_or_to_the_only_one() {
        let (of, kinds) = bound(INPUTS, &ports()).unwrap();
        assert_eq!(of, [0, 1, 2, 3]);
        assert_eq!(kinds, [Kind::Float, Kind::Text, Kind::Whole, Kind::Bool]);
        let only = [port("x", Some(Kind::Float), Some(5))];
        let inputs = r#"[{"field": "/a"}, {"field": "/b", "length": 4}]"#;
        assert_eq!(bound(inputs, &only).unwrap().0, [0, 0]);
    }

    #[test]
    fn what_differs_between_card_and_graph_is_named() {
        let text = r#", "type": "text""#;
        for (from, to, message) in [
            (
                r#", "input": "age""#,
                "",
                "/inputs/0: add the member input, one of the graph's: age, city, visits, member",
            ),
            (
                r#""input": "age""#,
                r#""input": "aeg""#,
                "/inputs/0/input: the graph has no input aeg, but age, city, visits, member",
            ),
            (text, "", "/inputs/1/type: the graph's input city takes texts: the type must be text"),
            (
                r#""input": "age""#,
                r#""input": "age", "type": "text""#,
                "/inputs/0/type: the graph's input age takes floats: the type must be f32",
            ),
            (
                r#", "type": "bool""#,
                "",
                "/inputs/3/type: the graph's input member takes bools: the type must be bool",
            ),
            (
                r#""visits"}"#,
                r#""visits", "optional": true}"#,
                "/inputs/2/optional: the graph's input visits takes whole numbers, and none missing",
            ),
            (
                r#""input": "visits""#,
                r#""input": "age""#,
                "the graph's input age takes 1 columns, but the card has 2",
            ),
            (
                r#""input": "age"}"#,
                r#""input": "age", "length": 3}"#,
                "the graph's input age takes 1 columns, but the card has 3",
            ),
        ] {
            assert!(INPUTS.contains(from), "{from}");
            assert_eq!(bound(&INPUTS.replace(from, to), &ports()).unwrap_err(), message);
        }
        let mut more = ports();
        more.push(port("plan", Some(Kind::Text), None));
        let error = bound(INPUTS, &more).unwrap_err();
        assert_eq!(error, "the graph's input plan has no column in the card");
        let cube = Port { shape: Some(vec![None; 3]), ..port("x", Some(Kind::Float), None) };
        let error = bound(r#"[{"field": "/a"}]"#, &[cube]).unwrap_err();
        assert_eq!(error, "the graph's input x has 3 dimensions, not rows and columns");
        let error = bound(r#"[{"field": "/a"}]"#, &[port("x", None, None)]).unwrap_err();
        assert_eq!(error, "the graph's input x is of no supported type");
    }
}
