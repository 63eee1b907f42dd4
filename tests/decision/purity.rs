//! `src/inject` is pure: its sources name no I/O, no clock and no other module of the crate.

use std::fs;
use std::path::{Path, PathBuf};

/// What may not be named, as paths of Rust. `kube` does not forbid `kube_x`, and `tokio` forbids `::tokio::net`.
const FORBIDDEN: &[&str] = &[
    "arc_swap",
    "axum",
    "env",
    "futures",
    "hyper",
    "hyper_util",
    "kube",
    "notify",
    "rand",
    "reqwest",
    "rustls",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time",
    "time",
    "tokio",
    "tracing",
];

/// The core, and how it writes JSON.
const PURE: &[&str] = &["inject", "json"];

/// Names that betray I/O or a clock wherever they stand.
const TELLING: &[&str] = &[
    "File",
    "Instant",
    "OpenOptions",
    "SystemTime",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
];
/// Words after which a path from the root (`::tokio`) is a path of its own.
const KEYWORDS: &[&str] = &["as", "dyn", "else", "in", "let", "mut", "return", "use"];
/// Macros that print or read.
const MACROS: &[&str] = &[
    "dbg",
    "eprint",
    "eprintln",
    "include_bytes",
    "include_str",
    "option_env",
    "print",
    "println",
];

#[test]
fn the_core_is_pure() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<_> = PURE
        .iter()
        .flat_map(|module| sources(&folder.join(module)))
        .collect();
    assert!(files.len() > 10, "only {files:?} in {}", folder.display());
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        found.extend(
            scan(&source)
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the core") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What a source names that it may not.
fn scan(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut imported = false;
    let mut before = String::new();
    for path in paths(&tokens(source)) {
        let text = path.join("::");
        let forbidden = FORBIDDEN
            .iter()
            .any(|prefix| text == *prefix || text.starts_with(&format!("{prefix}::")));
        // A single word is a variable or a field; a crate is named with what it holds, or imported.
        let alone = path.len() == 1 && !imported;
        let telling = path.iter().any(|part| TELLING.contains(&part.as_str()));
        let stranger = path.first().is_some_and(|first| first == "crate")
            && path.get(1).is_some_and(|second| !PURE.contains(&&**second));
        let printing = path.last().is_some_and(|last| {
            last.strip_suffix('!')
                .is_some_and(|name| MACROS.contains(&name))
        });
        if (forbidden && !alone) || telling || stranger || printing {
            found.push(text.clone());
        }
        imported = text == "use" || (text == "crate" && before == "extern");
        before = text;
    }
    found
}

/// The words and signs of Rust source, without comments and the insides of literals.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(head) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if head.is_alphanumeric() || head == '_' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            tokens.push(
                rest.chars()
                    .take(rest.get(..length).map_or(0, |word| word.chars().count()))
                    .collect(),
            );
            length
        } else if rest.starts_with("::") {
            tokens.push("::".into());
            2
        } else {
            if !head.is_whitespace() {
                tokens.push(head.into());
            }
            head.len_utf8()
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    tokens
}

/// The length of a string or character literal at the head.
fn literal(rest: &str) -> Option<usize> {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.chars().take_while(|c| *c == '#').count();
        if raw.get(hashes..)?.starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = raw.get(hashes + 1..)?;
            return Some(1 + hashes + 1 + inside.find(&end)? + end.len());
        }
        return None;
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let mut escaped = false;
        for (index, c) in inside.char_indices() {
            match c {
                '"' if !escaped => return Some(index + 2),
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        return Some(rest.len());
    }
    let inside = rest.strip_prefix('\'')?;
    if let Some(escaped) = inside.strip_prefix('\\') {
        let first = escaped.chars().next()?.len_utf8();
        return Some(2 + first + escaped.get(first..)?.find('\'')? + 1);
    }
    let first = inside.chars().next()?.len_utf8();
    inside.get(first..)?.starts_with('\'').then_some(first + 2)
}

/// All paths, with `use a::{b, c::d}` taken apart and a macro's `!` at its name.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    let mut joined = false;
    for token in tokens {
        let word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if token == "::" {
            let keyword = path
                .last()
                .is_some_and(|last| KEYWORDS.contains(&last.as_str()));
            if keyword {
                flush(&mut found, &mut path, &groups);
            }
            joined = true;
            continue;
        }
        if word {
            if !joined {
                flush(&mut found, &mut path, &groups);
            }
            path.push(token.clone());
        } else if token == "{" {
            if joined {
                groups.push(std::mem::take(&mut path));
            } else {
                flush(&mut found, &mut path, &groups);
            }
            braces.push(joined);
        } else if token == "}" {
            flush(&mut found, &mut path, &groups);
            if braces.pop() == Some(true) {
                groups.pop();
            }
        } else if token == "!" && !path.is_empty() {
            if let Some(last) = path.last_mut() {
                last.push('!');
            }
            flush(&mut found, &mut path, &groups);
        } else if token == "*" && joined {
            path.push("*".into());
            flush(&mut found, &mut path, &groups);
        } else {
            flush(&mut found, &mut path, &groups);
        }
        joined = false;
    }
    flush(&mut found, &mut path, &groups);
    found
}

fn flush(found: &mut Vec<Vec<String>>, path: &mut Vec<String>, groups: &[Vec<String>]) {
    if !path.is_empty() {
        let whole = groups.iter().flatten().cloned().chain(path.drain(..));
        found.push(whole.collect());
    }
}

mod scanner {
    use rstest::rstest;

    use super::scan;

    #[rstest]
    #[case::import("use tokio::net::TcpListener;", "tokio::net::TcpListener")]
    #[case::import_under_another_name("use std::fs as files;", "std::fs")]
    #[case::group("use std::{fmt, fs, io::Read};", "std::fs")]
    #[case::deep_group(
        "use std::{collections::{HashMap, HashSet}, net::{IpAddr}};",
        "std::net::IpAddr"
    )]
    #[case::everything("use kube::*;", "kube::*")]
    #[case::absolute("use ::reqwest::Client;", "reqwest::Client")]
    #[case::absolute_in_code("fn f() { return ::std::fs::read(x); }", "std::fs::read")]
    #[case::in_code(
        "fn f() { let now = std::time::Instant::now(); }",
        "std::time::Instant::now"
    )]
    #[case::a_clock_by_its_name("fn f() { let now = SystemTime::now(); }", "SystemTime::now")]
    #[case::the_environment("fn f() { std::env::var(\"X\"); }", "std::env::var")]
    #[case::another_module("use crate::catalog::Catalog;", "crate::catalog::Catalog")]
    #[case::another_module_in_a_group(
        "use crate::{inject::name, webhook::Webhook};",
        "crate::webhook::Webhook"
    )]
    #[case::the_whole_crate("use crate::*;", "crate::*")]
    #[case::printing("fn f() { println!(\"x\"); }", "println!")]
    #[case::a_whole_crate("use tokio;", "tokio")]
    #[case::a_crate_the_old_way("extern crate rand;", "rand")]
    #[case::after_a_comment("// fine\nuse rand::Rng;", "rand::Rng")]
    #[case::after_a_quote("const A: &str = \"\\\"\"; use axum::Router;", "axum::Router")]
    #[case::after_a_character("const A: char = '\"'; use axum::Router;", "axum::Router")]
    #[case::after_a_lifetime("struct A<'a>(&'a str); use axum::Router;", "axum::Router")]
    #[case::after_raw_text("const A: &str = r#\"\"x\"#; use axum::Router;", "axum::Router")]
    fn finds(#[case] source: &str, #[case] expected: &str) {
        assert!(
            scan(source).contains(&expected.to_owned()),
            "{:?}",
            scan(source)
        );
    }

    #[rstest]
    #[case::comments("//! no tokio::net, no std::fs\n/* axum::Router */")]
    #[case::text("const A: &str = \"std::fs::read\";")]
    #[case::raw_text("const A: &str = r#\"crate::catalog \" std::fs::read\"#;")]
    #[case::its_own("use super::name; use crate::inject::pod::Pod;")]
    #[case::harmless(
        "use std::{collections::HashMap, fmt}; fn f(time: u64, env: &[u8]) { place.env.len(); }"
    )]
    #[case::longer_names("use std::fmt; use kube_like::X; use std::iter::once;")]
    fn is_content_with(#[case] source: &str) {
        assert_eq!(scan(source), Vec::<String>::new());
    }
}
