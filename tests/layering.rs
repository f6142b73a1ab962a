//! Keeps the layers: the table in DESIGN.md is read, and the sources are held against it.
//!
//! What is checked is the text of the code, without its comments and literals. Every rule is shown a
//! forged violation, so that none of them can pass by finding nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer: one that is has more than one job.
const MAX_LINES: usize = 900;

/// The files that may hold `unsafe`, each with its safety argument at its head.
const UNSAFE: [&str; 6] = [
    "memtable/arena.rs",
    "memtable/cursor.rs",
    "memtable/node.rs",
    "memtable/table.rs",
    "memtable/writer.rs",
    "vfs/mapping.rs",
];

/// The files that may start threads.
const THREADS: [&str; 5] = [
    "cdk/worker.rs",
    "conformance/watch.rs",
    "connector/lock/timer.rs",
    "log/space.rs",
    "store/background.rs",
];

/// What only the `vfs` may touch: files, clocks, randomness.
const OUTSIDE: [&str; 8] = [
    "std::fs",
    "fs::File",
    "Instant::now",
    "SystemTime::now",
    "RandomState",
    "thread_rng",
    "getrandom",
    "std::net",
];

/// A source file: its path below `src`, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Its code, without the tests at its end. Nothing for a file of tests.
    fn product(&self) -> String {
        let code = code(&self.text);
        if self.path.ends_with("tests.rs") {
            return String::new();
        }
        code.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
    }
}

/// The text with comments, strings and character literals blanked out; lines stay where they are.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        let skipped = end.unwrap_or(at);
        out.extend(chars[at..skipped].iter().map(|char| if *char == '\n' { '\n' } else { ' ' }));
        if end.is_none() {
            out.push(chars[at]);
        }
        at = skipped.max(at + usize::from(end.is_none()));
    }
    out
}

/// Where the comment or literal that starts here ends; `None` if none does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let after = |len: usize| at + len.min(rest.len());
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => Some(after(rest.iter().position(|char| *char == '\n').unwrap_or(rest.len()))),
        ['/', '*', ..] => Some(after(find(rest, &['*', '/'], 2))),
        ['"', ..] => Some(after(quoted(rest, '"'))),
        ['\'', '\\', ..] => Some(after(quoted(rest, '\''))),
        // A lifetime has no quote after its first character.
        ['\'', _, '\'', ..] => Some(at + 3),
        ['r', '"' | '#', ..] if !word_before => {
            let hashes = rest[1..].iter().take_while(|char| **char == '#').count();
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            (rest.get(1 + hashes) == Some(&'"')).then(|| after(find(rest, &end, 2 + hashes)))
        }
        _ => None,
    }
}

fn find(chars: &[char], end: &[char], from: usize) -> usize {
    let found = chars[from..].windows(end.len()).position(|window| window == end);
    found.map_or(chars.len(), |found| from + found + end.len())
}

fn quoted(chars: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The first names of the paths that follow each `crate::`, those in braces too, with their lines.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let line = code[..start].lines().count();
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_names(group).into_iter().map(|name| (line, name))),
            None => found.push((line, name(rest))),
        }
    }
    found
}

fn name(code: &str) -> String {
    code.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

fn group_names(group: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, char) in group.char_indices() {
        depth += i32::from(char == '{') - i32::from(char == '}');
        if (char == ',' && depth == 1) || depth == 0 {
            names.push(name(group[start..at].trim_start()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The modules in the order of DESIGN.md's table: each may use those before it.
fn layers(design: &str) -> Vec<String> {
    let section = design.split("\n## ").find(|section| section.starts_with("The layers")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').next().unwrap().replace(['`', ' '], ""));
    cells.flat_map(|cell| cell.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn upward(source: &Source, layers: &[String]) -> Vec<String> {
    let place = |module: &str| layers.iter().position(|layer| layer == module);
    let Some(own) = place(source.module()) else {
        return vec![format!("{}: DESIGN.md has no layer for it", source.path)];
    };
    let wrong = |(line, name): (usize, String)| match place(&name) {
        Some(used) if used <= own => None,
        Some(_) => Some(format!("{}:{line}: {} uses {name}, a later layer", source.path, source.module())),
        None => Some(format!("{}:{line}: crate::{name} is no module; name the full path", source.path)),
    };
    let code = code(&source.text);
    let mut found: Vec<String> = imports(&code).into_iter().filter_map(wrong).collect();
    let escapes = ["super::super", "crate as ", "crate::*"].iter().filter(|path| code.contains(**path));
    found.extend(escapes.map(|path| format!("{}: {path} hides what it uses", source.path)));
    if !source.path.contains('/') && code.replace("use super::*", "").contains("super::") {
        found.push(format!("{}: super:: is the crate's root there", source.path));
    }
    found
}

fn outside(source: &Source) -> Vec<String> {
    let product = source.product();
    let vfs = source.module() == "vfs";
    let doors = OUTSIDE.iter().filter(|word| !vfs && product.contains(**word));
    let threads = ["thread::spawn", "thread::Builder", "thread::scope"];
    let starts = threads.iter().filter(|word| product.contains(**word));
    let starts = starts.filter(|_| !THREADS.contains(&&*source.path));
    let sleeps = ["thread::sleep", "park_timeout"].iter().filter(|word| product.contains(**word));
    let words = doors.chain(starts).chain(sleeps);
    words.map(|word| format!("{}: {word} has no place there", source.path)).collect()
}

fn unsafe_code(source: &Source) -> Vec<String> {
    let code = code(&source.text);
    let words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
    let found = words.filter(|word| *word == "unsafe").count();
    let listed = UNSAFE.contains(&&*source.path);
    match (found, listed) {
        (0, true) => vec![format!("{} holds no unsafe any more; take it off the list", source.path)],
        (1.., false) => vec![format!("{}: unsafe has no place there", source.path)],
        _ => Vec::new(),
    }
}

fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > MAX_LINES;
    long.then(|| format!("{} has {lines} lines; split it", source.path)).into_iter().collect()
}

fn violations(source: &Source, layers: &[String]) -> Vec<String> {
    [upward(source, layers), outside(source), unsafe_code(source), length(source)].concat()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let (mut found, mut dirs): (Vec<PathBuf>, _) = (Vec::new(), vec![src.clone()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    let below = |path: &PathBuf| path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
    let all = found.iter().map(|path| Source { path: below(path), text: read(path) });
    all.filter(|source| source.path != "lib.rs").collect()
}

#[test]
fn every_file_keeps_to_its_layer() {
    let layers = layers(&read(&root().join("DESIGN.md")));
    let sources = sources();
    let found: Vec<String> = sources.iter().flat_map(|source| violations(source, &layers)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    let uses: usize = sources.iter().map(|source| imports(&code(&source.text)).len()).sum();
    println!("{} files, {uses} uses of other modules, {} layers", sources.len(), layers.len());
    assert!(sources.len() > 40 && uses > 100, "the sources were not found");
}

#[test]
fn the_design_names_every_module_once() {
    let mut layers = layers(&read(&root().join("DESIGN.md")));
    let mut modules: Vec<String> = sources().iter().map(|source| source.module().to_owned()).collect();
    modules.dedup();
    layers.sort();
    modules.sort();
    assert_eq!(layers, modules);
}

#[test]
fn every_file_that_may_be_unsafe_is_there() {
    let sources = sources();
    for listed in UNSAFE.iter().chain(&THREADS) {
        assert!(sources.iter().any(|source| source.path == *listed), "{listed} is listed, but not there");
    }
}

#[test]
fn forged_violations_are_found() {
    let layers = layers(&read(&root().join("DESIGN.md")));
    let forged = [
        ("log/frame.rs", "use crate::store::Store;", "a later layer"),
        ("log/frame.rs", "use crate::{codec::Reader, memtable::{Memtable, x}};", "a later layer"),
        ("log/frame.rs", "fn f() -> crate::Result<()> {}", "is no module"),
        ("log/frame.rs", "use crate::Error;", "is no module"),
        ("log/frame.rs", "use crate as siltstone;", "hides"),
        ("key.rs", "use super::Error;", "the crate's root"),
        ("store/a/b.rs", "use super::super::x;", "hides"),
        ("new.rs", "", "no layer"),
        ("store/mod.rs", "use std::fs;", "no place"),
        ("store/mod.rs", "let now = std::time::Instant::now();", "no place"),
        ("connector/lock/mod.rs", "let now = SystemTime::now();", "no place"),
        ("segment/filter.rs", "RandomState::new()", "no place"),
        ("store/mod.rs", "std::thread::spawn(work)", "no place"),
        ("store/background.rs", "std::thread::sleep(pause)", "no place"),
        ("codec.rs", "unsafe { x() }", "no place"),
        ("vfs/mapping.rs", "safe()", "off the list"),
        ("codec.rs", &"\n".repeat(MAX_LINES + 1), "split it"),
    ];
    for (path, text, expected) in forged {
        let found = violations(&Source::new(path, text), &layers);
        assert!(found.iter().any(|found| found.contains(expected)), "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let layers = layers(&read(&root().join("DESIGN.md")));
    let allowed = [
        ("log/frame.rs", "use crate::codec::Reader;\nuse crate::log::header::LogId;"),
        ("log/frame.rs", "/// See [`Store`](crate::Store), or use crate::store.\n// unsafe std::fs"),
        ("log/frame.rs", r##"let x = ("crate::Error \" unsafe", r#"std::fs "unsafe" "#, '"', b'\'');"##),
        ("log/frame.rs", "/* unsafe */ fn f<'a>(x: &'a str) -> char { 'u' }"),
        ("log/frame.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n    std::thread::spawn(f);\n}"),
        ("log/tests.rs", "std::thread::spawn(f);"),
        ("vfs/disk.rs", "use std::fs;\nInstant::now()"),
        ("key.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}"),
    ];
    for (path, text) in allowed {
        assert_eq!(violations(&Source::new(path, text), &layers), [""; 0], "{path}: {text}");
    }
}
