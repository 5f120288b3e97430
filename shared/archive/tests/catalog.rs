//! `infra/analytics.yaml` declares the tables and views as this crate describes them.
//!
//! The lists of columns there are generated. After a change of a table or a view:
//!
//! ```sh
//! REGENERATE=1 cargo test -p rendezvous-archive --test archived catalog
//! ```
//!
//! In a table's resource this replaces the list `Columns`, in a view's resource that list, the
//! `columns` of the view's JSON, and the SQL from the first `SELECT` to `FROM (`.

use std::{env, fs, path::Path};

use rendezvous_archive::{
    Layout, layouts,
    views::{Keeps, VIEWS, View, ViewColumn, partitions},
};

/// The longest line of the template.
const WIDTH: usize = 131;

#[test]
fn the_template_has_the_columns_of_every_table_and_view() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/analytics.yaml");
    let found = fs::read_to_string(&path).unwrap();
    let mut wanted: Vec<String> = found.lines().map(str::to_owned).collect();
    for layout in layouts() {
        let mut resource = Resource::find(&wanted, &format!("raw_{}", layout.table));
        let columns = layout.columns.iter();
        let columns = columns.map(|(name, r#type, comment)| line(name, r#type.hive(), comment));
        resource.replace(&mut wanted, "Columns:", "- {", columns.collect());
    }
    for view in VIEWS {
        let layout = layout(view.table);
        let columns = view.columns(&layout);
        let mut resource = Resource::find(&wanted, view.name);
        let hive = columns.iter().map(|column| line(&column.name, column.hive, &column.comment));
        resource.replace(&mut wanted, "Columns:", "- {", hive.collect());
        resource.replace(&mut wanted, "\"originalSql\"", "{ \"name\"", json(&columns));
        resource.replace(&mut wanted, "- Sql:", "", select(&view, &columns));
    }
    let wanted = wanted.join("\n") + "\n";
    if env::var_os("REGENERATE").is_some() {
        // The other test reads the template at the same time: it is replaced as a whole.
        let new = path.with_extension("new");
        fs::write(&new, wanted).unwrap();
        fs::rename(new, path).unwrap();
        return;
    }
    let differs = found.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "infra/analytics.yaml does not have the columns of this crate: run\n  \
         REGENERATE=1 cargo test -p rendezvous-archive --test archived catalog\n{differs:#?}"
    );
}

fn layout(table: &str) -> Layout {
    layouts().into_iter().find(|layout| layout.table == table).unwrap()
}

/// The lines of a resource in the template.
struct Resource {
    first: usize,
}

impl Resource {
    /// The resource of the table or view of this name.
    fn find(lines: &[String], name: &str) -> Self {
        let named = |line: &String| *line == format!("        Name: {name}");
        let first = lines.iter().position(named);
        Self { first: first.unwrap_or_else(|| panic!("no table or view {name}")) }
    }

    /// Replaces the lines that follow the one that holds `before`, as long as they begin with
    /// `prefix`; or, without a prefix, up to the first that begins with `FROM`.
    fn replace(&mut self, lines: &mut Vec<String>, before: &str, prefix: &str, by: Vec<String>) {
        let rest = &lines[self.first..];
        let head = rest.iter().position(|line| line.contains(before)).unwrap();
        let start = self.first + head + 1;
        let indent = " ".repeat(lines[start].len() - lines[start].trim_start().len());
        let is_old = |line: &String| {
            let text = line.trim_start();
            if prefix.is_empty() { !text.starts_with("FROM") } else { text.starts_with(prefix) }
        };
        let count = lines[start..].iter().take_while(|line| is_old(line)).count();
        let by = by.into_iter().map(|line| indent.clone() + &line);
        lines.splice(start..start + count, by);
    }
}

/// A column of the catalog.
fn line(name: &str, hive: &str, comment: &str) -> String {
    // Glue allows 255 bytes.
    assert!(!comment.is_empty() && comment.len() <= 255, "the comment of {name}");
    // These characters have a meaning in YAML.
    let plain = !comment.contains([',', ':', '#', '{', '}', '[', ']', '\'', '"', '@', '`', '&'])
        || (!comment.contains([',', '{', '}', '[', ']', '"', '`', '&'])
            && !comment.contains(": ")
            && !comment.contains(" #")
            && !comment.starts_with(['\'', '@']));
    let comment =
        if plain { comment.to_owned() } else { format!("'{}'", comment.replace('\'', "''")) };
    format!("- {{ Name: {name}, Type: {hive}, Comment: {comment} }}")
}

/// The columns as the engine knows them, some on each line.
fn json(columns: &[ViewColumn]) -> Vec<String> {
    let item = |column: &ViewColumn| {
        format!("{{ \"name\": \"{}\", \"type\": \"{}\" }}", column.name, column.sql)
    };
    let last = columns.len() - 1;
    let items = columns.iter().enumerate();
    let items = items.map(|(i, column)| item(column) + if i == last { " ] }" } else { "," });
    filled(items, 24)
}

/// The list of a view's `SELECT`.
fn select(view: &View, columns: &[ViewColumn]) -> Vec<String> {
    // Where copies of the day before are excluded, a join has these columns on both sides.
    let twice = |name: &str| {
        view.keeps == Keeps::First
            && view.table != "decisions"
            && (view.entity.contains(&name) || name == "date")
    };
    let item = |column: &ViewColumn| match &column.expression {
        own if *own == column.name && twice(own) => format!("today.{own}"),
        own if *own == column.name => quoted(own),
        computed => format!("{computed} AS {}", column.name),
    };
    let last = columns.len() - 1;
    let items = columns.iter().enumerate();
    let mut lines =
        filled(items.map(|(i, column)| item(column) + if i == last { "" } else { "," }), 31);
    lines[0].insert_str(0, "SELECT ");
    for line in &mut lines[1..] {
        line.insert_str(0, "  ");
    }
    lines
}

/// A column's name, in double quotes where Athena has it as a keyword. They stand in a JSON string. The test of the queries, in
/// tests/analytics, has all keywords.
fn quoted(name: &str) -> String {
    if name == "skip" { format!("\\\"{name}\\\"") } else { name.to_owned() }
}

/// As many items on each line as fit.
fn filled(items: impl Iterator<Item = String>, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for item in items {
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = item,
            Some(line) if indent + line.len() + 1 + item.len() <= WIDTH => {
                line.push(' ');
                line.push_str(&item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

#[test]
fn the_template_has_the_partitions_of_every_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/analytics.yaml");
    let template = fs::read_to_string(path).unwrap();
    for layout in layouts() {
        let table = layout.table;
        let template = template.split_once(&format!("        Name: raw_{table}\n")).unwrap().1;
        let resource = template.split_once("          Columns:").unwrap().0;
        let folder: Vec<String> =
            partitions(table).iter().map(|name| format!("{name}=${{!{name}}}/")).collect();
        let location = format!("!Sub 's3://${{ArchiveBucket}}/{table}/{}'\n", folder.concat());
        assert!(resource.contains(&location), "{table}: no location {location}");
        for name in ["date", "hour"] {
            let is_one = partitions(table).contains(&name);
            assert_eq!(resource.contains(&format!("- {{ Name: {name}, Type:")), is_one, "{table}");
            assert_eq!(resource.contains(&format!("projection.{name}.type")), is_one, "{table}");
        }
    }
}
