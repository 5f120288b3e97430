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
