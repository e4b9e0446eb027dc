//! Packages made by the tools authors use are accepted, and hold what those tools say they hold.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use marketplace::package::inspect;

use crate::package_builder::PackageBuilder;

/// Every way to pack the current folder into `$OUT`.
const PACKERS: &[&str] = &[
    "tar -czf $OUT .",
    "tar czf $OUT info.json scripts README.md empty",
    "tar --format=ustar -czf $OUT .",
    "tar --format=gnu -czf $OUT ./info.json ./scripts",
    "tar --format=posix -czf $OUT .",
    "tar --format=posix --sort=name --owner=0 --numeric-owner -czf $OUT .",
    "tar -b 200 -czf $OUT .",
    "bsdtar -czf $OUT .",
    "bsdtar --format pax -czf $OUT *",
    "bsdtar --format ustar -czf $OUT info.json scripts",
    "bsdtar --format gnutar -czf $OUT .",
    "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm x \
     && git archive --format=tar.gz -o $OUT HEAD && rm -rf .git",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz'); t.add('.'); t.close()\"",
    "python3 -c \"import tarfile; t = tarfile.open('$OUT', 'w:gz', format=tarfile.GNU_FORMAT); t.add('.'); t.close()\"",
    "python3 -c \"import shutil; shutil.make_archive('$OUT'[:-7], 'gztar', '.')\"",
];

/// Prints the files of `$OUT`, one a line.
const LISTERS: &[&str] = &[
    "tar --quoting-style=literal -tzf $OUT | grep -v '/$'",
    "python3 -X utf8 -c \"import tarfile; [print(m.name) for m in tarfile.open('$OUT') if m.isfile()]\"",
];

#[test]
fn packages_of_real_tools_hold_what_the_tools_say() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    write_plugin(&source).unwrap();
    let mut packed = 0;
    for (i, packer) in PACKERS.iter().enumerate() {
        let out = folder.path().join(format!("{i}.tar.gz"));
        if run(packer, &source, &out).is_none() {
            eprintln!("not here: {packer}");
            continue;
        }
        packed += 1;
        let package = inspect(fs::File::open(&out).unwrap()).unwrap_or_else(|refusal| panic!("{packer}: {refusal}"));
        let found: BTreeSet<String> = package.files.into_iter().map(|file| file.path).collect();
        assert!(found.contains("scripts/启动 👩\u{200d}💻.sh"), "{packer}");
        for lister in LISTERS {
            if let Some(listed) = run(lister, &source, &out) {
                let listed: BTreeSet<String> =
                    listed.lines().map(|line| line.strip_prefix("./").unwrap_or(line).to_owned()).collect();
                assert_eq!(found, listed, "{packer}, {lister}");
            }
        }
    }
    assert!(packed > 0, "no packer is installed");
}

fn write_plugin(folder: &Path) -> std::io::Result<()> {
    let long = format!("scripts/{}/{}.sh", "long".repeat(24), "name".repeat(24));
    let files = ["scripts/hello.sh", "scripts/启动 👩\u{200d}💻.sh", "README.md", "scripts/sub/empty.txt", &long];
    fs::create_dir_all(folder.join("empty"))?;
    let info = PackageBuilder::new("hello", "1.0.0").info_bytes();
    fs::write(folder.join("info.json"), info)?;
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, format!("# {file}\n"))?;
    }
    // ustar cannot hold one name of more than 100 bytes, so no component is longer.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder.join("scripts/hello.sh"), mode)
}

/// What the command prints, if it is installed and succeeds.
fn run(command: &str, folder: &Path, out: &Path) -> Option<String> {
    let script = command.replace("$OUT", out.to_str()?);
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).env("LC_ALL", "C.UTF-8").output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}
