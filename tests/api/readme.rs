//! The tours of the READMEs work as they stand, line by line, on a fresh server.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::program::{Server, place};

/// The commands of a README's tour.
fn tour(name: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let block = readme.split("<!-- tour -->\n```sh\n").nth(1).expect("a tour");
    block.split("```").next().unwrap().to_owned()
}

/// Types the tour into a plain shell, one command at a time, and says what each printed.
fn take(name: &str, url: &str) -> Vec<(String, String)> {
    let tour = tour(name);
    assert!(tour.contains("http://127.0.0.1:5000/"), "the tour asks the default address");
    let commands: Vec<String> = tour
        .replace("http://127.0.0.1:5000", url)
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut shell =
        Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut typed = shell.stdin.take().unwrap();
    for command in &commands {
        // A mark and the status follow each command.
        write!(typed, "{command}\nprintf '\\n=== %s\\n' $?\n").unwrap();
    }
    drop(typed);
    let output = shell.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut parts: Vec<&str> = printed.split("\n=== ").collect();
    // Each part but the first begins with the status of the command before.
    let mut answers = vec![parts.remove(0)];
    for part in parts {
        let (status, rest) = part.split_once('\n').unwrap();
        assert_eq!(status, "0", "{}: {}", commands[answers.len() - 1], answers.last().unwrap());
        answers.push(rest);
    }
    answers.pop();
    assert_eq!(answers.len(), commands.len());
    commands.iter().cloned().zip(answers.into_iter().map(str::to_owned)).collect()
}

fn works(name: &str, greeting: &str) {
    let place = place();
    let server = Server::start(place.path());
    let steps = take(name, &server.url);
    let mut greeted = None;
    let answer = |part: &str| -> Value {
        let (command, printed) = steps.iter().find(|(command, _)| command.contains(part)).expect("a step");
        serde_json::from_str(printed).unwrap_or_else(|e| panic!("{command}: {e}: {printed}"))
    };
    for (command, printed) in &steps {
        if command.starts_with("curl") && !command.contains("-OJ") {
            let answer: Value = serde_json::from_str(printed).unwrap_or_else(|e| panic!("{command}: {e}: {printed}"));
            assert_eq!(answer["success"], true, "{command}: {printed}");
        }
        greeted = greeted.or_else(|| command.starts_with("sh ").then(|| printed.clone()));
    }
    assert_eq!(greeted.as_deref().map(str::trim), Some(greeting));
    assert_eq!(answer("/auth/me")["data"]["username"], "ada");
    assert_eq!(answer("search=")["data"]["plugins"][0]["id"], "hello_world");
    assert_eq!(answer("plugin_file=")["data"]["version"], "1.0.0");
    assert_eq!(answer("$api/plugins/hello_world/stats")["data"]["total_downloads"], 1);
    assert_eq!(answer("$api/stats")["data"]["total_ratings"], 1);
    server.stop();
}

#[test]
fn the_tour_of_the_readme_works() {
    works("README.md", "Hello, Ada!");
}

#[test]
fn the_tour_of_the_chinese_readme_works() {
    works("README.zh-CN.md", "你好，阿达！");
}
