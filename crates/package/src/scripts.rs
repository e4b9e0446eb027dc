//! The scripts `info.json` lists, each of which must be in the package.

use std::collections::HashSet;

use super::codes;
use super::faults::{Fault, Faults};
use super::fields::{self, Rule};
use super::json::{Json, Object};
use super::manifest::Script;
use super::{MAX_DESCRIPTION, MAX_NAME, MAX_SCRIPTS, PackagedFile, path, text};

/// Reads the list and compares it with the files of the archive.
pub(super) fn read(root: &Object, files: &[PackagedFile], faults: &mut Faults) -> Vec<Script> {
    if !root.contains_key("scripts") {
        faults.invalid("scripts", "缺少必填字段", "is required");
        return Vec::new();
    }
    let list = fields::list(root, "scripts", MAX_SCRIPTS, faults);
    if list.is_empty() && matches!(root.get("scripts"), Some(Json::List(all)) if all.is_empty()) {
        faults.invalid("scripts", "至少要有一个脚本", "must hold at least one script");
    }
    let packaged: HashSet<&str> = files.iter().filter_map(|file| file.path.strip_prefix("scripts/")).collect();
    list.iter()
        .enumerate()
        .filter_map(|(i, value)| script(value, &format!("scripts[{i}]"), files, &packaged, faults))
        .collect()
}

fn script(
    value: &Json,
    field: &str,
    files: &[PackagedFile],
    packaged: &HashSet<&str>,
    faults: &mut Faults,
) -> Option<Script> {
    let Json::Object(script) = value else {
        fields::wrong_kind(field, value, ("对象", "an object"), faults);
        return None;
    };
    let mut checked = |key: &str, rule| fields::checked(script.get(key), &format!("{field}.{key}"), rule, faults);
    let name = checked("name", Rule::line(MAX_NAME));
    let description = checked("description", Rule::block(MAX_DESCRIPTION));
    let file = checked("file", Rule::line(MAX_NAME));
    let executable = match script.get("executable") {
        None => false,
        Some(Json::Bool(executable)) => *executable,
        Some(other) => {
            let field = format!("{field}.executable");
            fields::wrong_kind(&field, other, ("布尔值", "a boolean"), faults);
            false
        }
    };
    // A file that is empty by now has its fault already.
    let file = match path::safe(&file) {
        _ if file.is_empty() => file,
        Ok(path) => {
            if !packaged.contains(path) {
                faults.add(missing(&format!("{field}.file"), path, files));
            }
            path.to_owned()
        }
        Err(doc) => {
            faults.invalid(&format!("{field}.file"), doc.zh, doc.en);
            file
        }
    };
    Some(Script { name, file, description, executable })
}

/// Says what is in the package instead, where a look at it helps.
fn missing(field: &str, file: &str, files: &[PackagedFile]) -> Fault {
    let expected = format!("scripts/{file}");
    let shown = text::printable(&expected, 100);
    let key = path::key(&expected);
    let near = files.iter().map(|packaged| packaged.path.as_str()).find(|path| *path == file || path::key(path) == key);
    let (zh, en) = match near {
        Some(near) => {
            let near = text::printable(near, 100);
            (
                format!(
                    "包中没有 {shown}，但有 {near}：\
                     file 相对于 scripts/，大小写和 Unicode 形式要一致"
                ),
                format!(
                    "There is no {shown} in the package, but there is {near}: \
                     file is relative to scripts/ and must match in case and Unicode form"
                ),
            )
        }
        None => (format!("包中没有 {shown}"), format!("There is no {shown} in the package")),
    };
    Fault::because(field, codes::SCRIPT_MISSING, zh, en)
}
