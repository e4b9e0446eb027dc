//! Packages made by the tools authors use are accepted, and hold what those tools say they hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use package::inspect;

use crate::package_builder::PackageBuilder;

/// Every way to pack the current folder into `$OUT`.
const PACKERS: &[&str] = &[
    "tar -czf $OUT .",
    "tar czf $OUT info.json scripts README.md empty",
    "tar --format=ustar -czf $OUT .",
    "tar --format=gnu -czf $OUT ./info.json ./scripts",
    "tar --format=posix -czf $OUT .",
    "tar --format=posix --sort=name --owner=0 --numeric-owner -czf $OUT info.json scripts",
    "tar -b 200 -czf $OUT .",
    "COPYFILE_DISABLE=1 bsdtar -czf $OUT .",
    "COPYFILE_DISABLE=1 bsdtar --format pax -czf $OUT *",
    "COPYFILE_DISABLE=1 bsdtar --format ustar -czf $OUT info.json scripts",
    "COPYFILE_DISABLE=1 bsdtar --format gnutar -czf $OUT .",
    "busybox tar -czf $OUT .",
    "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm x \
     && git archive --format=tar.gz -o $OUT HEAD && rm -rf .git",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz'); t.add('.'); t.close()\"",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz', format=tarfile.PAX_FORMAT); t.add('scripts'); t.add('info.json'); t.close()\"",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz', format=tarfile.GNU_FORMAT); t.add('.'); t.close()\"",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz', format=tarfile.USTAR_FORMAT); t.add('.'); t.close()\"",
    "python3 -c \"import shutil; shutil.make_archive('$OUT'[:-7], 'gztar', '.')\"",
    "node -e \"require('$NPM/node_modules/tar').c({gzip: true, file: '$OUT', sync: true}, ['.'])\"",
    "node -e \"require('$NPM/node_modules/tar').c({gzip: true, portable: true, file: '$OUT', sync: true}, ['info.json', 'scripts'])\"",
    "7z a -ttar -so x . | gzip -n >$OUT && [ $(gzip -l $OUT | awk 'END {print $2}') != 0 ]",
    "7z a -ttar -mm=pax -so x . | gzip -n >$OUT && [ $(gzip -l $OUT | awk 'END {print $2}') != 0 ]",
];

/// The tools that a machine may lack; not every version of the last one writes PAX records.
const OPTIONAL: &[&str] = &["bsdtar", "busybox", "git", "node", "7z"];

/// Prints the files of `$OUT`, one a line.
const LISTERS: &[&str] = &[
    "tar --quoting-style=literal -tvzf $OUT | sed -n 's/^-[^:]*:[0-9][0-9] //p'",
    "python3 -X utf8 -c \"import tarfile; [print(m.name) for m in tarfile.open('$OUT') if m.isfile()]\"",
];

#[test]
fn packages_of_real_tools_hold_what_the_tools_say() {
    let folder = tempfile::tempdir().unwrap();
    for (packer, bytes) in packages() {
        let package = inspect(bytes.as_slice()).unwrap_or_else(|refusal| panic!("{packer}: {refusal}"));
        let found: BTreeSet<String> = package.files.into_iter().map(|file| file.path).collect();
        assert!(found.contains("scripts/启动 👩\u{200d}💻.sh"), "{packer}");
        let out = folder.path().join("package.tar.gz");
        fs::write(&out, bytes).unwrap();
        for lister in LISTERS {
            if let Some(listed) = run(lister, folder.path(), &out) {
                let listed: BTreeSet<String> =
                    listed.lines().map(|line| line.strip_prefix("./").unwrap_or(line).to_owned()).collect();
                assert_eq!(found, listed, "{packer}, {lister}");
            }
        }
    }
}

/// Packages by every packer that is installed, and those of `fixtures/`; each with how it was made.
pub(crate) fn packages() -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("package.tar.gz");
    let mut packages = Vec::new();
    for is_large in [false, true] {
        let source = folder.path().join(if is_large { "large" } else { "small" });
        write_plugin(&source, is_large).unwrap();
        for packer in PACKERS {
            // These formats have no room for long names and large numbers; git distrusts folders of others.
            if is_large && ["ustar", "USTAR", "git"].iter().any(|name| packer.contains(name)) {
                continue;
            }
            if run(packer, &source, &out).is_none() {
                assert!(OPTIONAL.iter().any(|tool| packer.contains(tool)), "failed: {packer}");
                eprintln!("not here: {packer}");
                continue;
            }
            packages.push((format!("{packer} (large: {is_large})"), fs::read(&out).unwrap()));
            fs::remove_file(&out).unwrap();
        }
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/package/fixtures");
    for fixture in fs::read_dir(fixtures).unwrap() {
        let path = fixture.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gz") {
            packages.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    packages
}

fn write_plugin(folder: &Path, is_large: bool) -> std::io::Result<()> {
    let mut files = vec![
        "scripts/hello.sh".to_owned(),
        "scripts/启动 👩\u{200d}💻.sh".to_owned(),
        "README.md".to_owned(),
        "scripts/sub/empty.txt".to_owned(),
        // ustar cannot hold one name of more than 100 bytes, so no component is longer.
        format!("scripts/{}/{}.sh", "long".repeat(24), "name".repeat(24)),
    ];
    if is_large {
        files.push(format!("scripts/{0}/{0}/{0}/{0}.sh", "deep".repeat(24)));
        files.push(format!("scripts/{}.txt", "中文名".repeat(20)));
        files.push(format!("scripts/x{}.txt", "中文名".repeat(20)));
        // A slash is the hundredth byte, where packers cut the name that old unpackers see.
        files.push(format!("scripts/{}/{}.sh", "c".repeat(91), "long".repeat(5)));
        files.push(format!("scripts/{}/{}.sh", "d".repeat(89), "long".repeat(5)));
    }
    fs::create_dir_all(folder.join("empty"))?;
    let info = PackageBuilder::new("hello", "1.0.0").info_bytes();
    fs::write(folder.join("info.json"), info)?;
    for file in files {
        let path = folder.join(&file);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        let content = if file.ends_with("empty.txt") { String::new() } else { format!("# {file}\n") };
        fs::write(path, content)?;
    }
    for file in ["scripts/hello.sh", "scripts/启动 👩\u{200d}💻.sh"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.join(file), mode)?;
    }
    if is_large {
        run("touch -d '2033-05-18 03:33:20.123456789' scripts/hello.sh README.md", folder, folder).unwrap();
    }
    // Larger than seven octal digits; only root can give files away.
    if is_large && rustix::process::getuid().is_root() {
        run("chown -R 3000000:3000000 .", folder, folder).unwrap();
    }
    Ok(())
}

/// What the command prints, if it is installed and succeeds.
fn run(command: &str, folder: &Path, out: &Path) -> Option<String> {
    let script = command.replace("$OUT", out.to_str()?);
    let npm = "NPM=$(dirname \"$(readlink -f \"$(command -v npm)\")\")/..";
    let script = format!("{}{script}", if script.contains("$NPM") { format!("{npm}; ") } else { String::new() });
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).env("LC_ALL", "C.UTF-8").output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}
