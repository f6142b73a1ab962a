//! Help, completions and manual pages.

mod common;

use std::fs;

use common::Place;

const COMMANDS: [&str; 16] = [
    "capture",
    "put",
    "get",
    "stat",
    "exists",
    "delete",
    "list",
    "scan",
    "stats",
    "compact",
    "checkpoint",
    "verify",
    "repair",
    "rekey",
    "completions",
    "man",
];

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    let main = place.run(["--help"]).ok();
    assert!(main.out().contains("Examples:") && main.out().contains("Exit status:"));
    for command in COMMANDS {
        assert!(main.out().contains(&format!("\n  {command} ")), "{command}");
        for help in ["--help", "-h"] {
            let help = place.run([command, help]).ok();
            let example = format!("siltstone {command}");
            let examples = help.out().split("Examples:").nth(1).unwrap_or_default();
            assert!(examples.contains(&example), "{command}: {}", help.out());
        }
    }
    assert_eq!(place.run(["--version"]).ok().out(), format!("siltstone {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]).ok();
        for word in ["siltstone", "capture", "key-field", "sync-interval"] {
            assert!(script.out().contains(word), "{shell}: {word}");
        }
    }
    place.run(["completions", "cmd"]).fails(2, &["cmd", "bash"]);
}

#[test]
fn bash_takes_the_completions() {
    let place = Place::new();
    let script = place.file("siltstone.bash", place.run(["completions", "bash"]).ok().out);
    let ask = "source \"$0\"; COMP_WORDS=(siltstone cap); COMP_CWORD=1; _siltstone siltstone cap siltstone; echo \"${COMPREPLY[@]}\"";
    let output = std::process::Command::new("bash").args(["-c", ask]).arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "capture");
}

#[test]
fn a_manual_page_for_every_command() {
    let place = Place::new();
    let page = place.run(["man"]).ok();
    assert!(page.out().contains(".TH siltstone 1") && page.out().contains("Exit status"));
    let dir = place.path("pages");
    place.run(["man".as_ref(), dir.as_os_str()]).ok();
    assert_eq!(fs::read_to_string(dir.join("siltstone.1")).unwrap(), page.out());
    for command in COMMANDS {
        let page = fs::read_to_string(dir.join(format!("siltstone-{command}.1"))).unwrap();
        assert!(page.contains("Examples:"), "{command}");
    }
    let file = place.file("file", "");
    place.run(["man".as_ref(), file.as_os_str()]).fails(2, &["file", "name a directory"]);
}
