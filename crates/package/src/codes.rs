//! Every reason for which a package can be refused, with its text and advice in both languages.

/// The documentation of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeDoc {
    /// Stable name, the same in every language.
    pub code: &'static str,
    /// What is wrong, in Chinese.
    pub zh: &'static str,
    /// What is wrong, in English.
    pub en: &'static str,
    /// What to do about it, in Chinese.
    pub advice_zh: &'static str,
    /// What to do about it, in English.
    pub advice_en: &'static str,
}

/// Makes a constant of each code and lists all of them, so that none can be left out.
macro_rules! codes {
    ($($name:ident: $code:literal {
        $zh:literal, $en:literal;
        $advice_zh:literal, $advice_en:literal;
    })*) => {
        $(pub(super) const $name: CodeDoc = CodeDoc {
            code: $code,
            zh: $zh,
            en: $en,
            advice_zh: $advice_zh,
            advice_en: $advice_en,
        };)*

        /// Every code a refusal can carry.
        pub const CODES: &[CodeDoc] = &[$($name),*];
    };
}

codes! {
    EMPTY_UPLOAD: "empty_upload" {
        "上传的文件是空的", "The uploaded file is empty";
        "检查文件是否存在且不为空，然后重新上传。", "Check that the file exists and is not empty, then send it again.";
    }
    READ_FAILED: "read_failed" {
        "上传的文件没有读完", "The upload could not be read to its end";
        "这不是插件包的问题，请稍后重试。", "The package is not to blame; try again later.";
    }
    PACKAGE_TOO_LARGE: "package_too_large" {
        "文件过大", "The package is larger than 100 MiB";
        "插件包最大 100 MiB：删除不需要的文件，或拆分成多个插件。", "Remove files that are not needed, or split the plugin.";
    }
    NOT_GZIP: "not_gzip" {
        "无效的文件类型", "The file is not gzip-compressed";
        "文件不是 gzip 压缩包：用 tar -czf plugin.tar.gz info.json scripts 打包；只改扩展名是不够的。", "Pack it with tar -czf plugin.tar.gz info.json scripts; renaming another format is not enough.";
    }
    NOT_TAR: "not_tar" {
        "gzip 里面不是 tar 归档", "There is no tar archive inside the gzip file";
        "用 tar -czf plugin.tar.gz info.json scripts 打包。", "Pack it with tar -czf plugin.tar.gz info.json scripts.";
    }
    TRUNCATED_ARCHIVE: "truncated_archive" {
        "压缩包不完整，末尾缺失", "The archive is cut off before its end";
        "重新打包并重新上传，确认传输完整。", "Pack and upload it again, and check that the transfer completes.";
    }
    CORRUPT_ARCHIVE: "corrupt_archive" {
        "压缩包已损坏，校验失败", "The archive is damaged: a checksum or a number in it is wrong";
        "用 gzip -t 和 tar -tzf 检查，然后重新打包。", "Check it with gzip -t and tar -tzf, then pack it again.";
    }
    TRAILING_DATA: "trailing_data" {
        "压缩包结束后还有多余的数据", "There is data behind the end of the archive";
        "重新打包，不要在压缩包后追加内容，也不要用 tar -A 拼接。", "Pack it again; append nothing and do not join archives.";
    }
    MULTIPLE_GZIP_MEMBERS: "multiple_gzip_members" {
        "文件由多个 gzip 段拼接而成", "The file consists of several gzip members";
        "一次打包成单个 gzip；不要拼接 .gz 文件，也不要用 pigz -i 或 bgzip。", "Pack it in one go; do not join .gz files, and do not use bgzip.";
    }
    UNPACKED_TOO_LARGE: "unpacked_too_large" {
        "解压后超过 500 MiB", "The package unpacks to more than 500 MiB";
        "删除不需要的文件，或拆分成多个插件。", "Remove files that are not needed, or split the plugin.";
    }
    TOO_MANY_ENTRIES: "too_many_entries" {
        "压缩包的条目超过 10,000 个", "The archive has more than 10,000 entries";
        "删除不需要的文件和文件夹。", "Remove files and folders that are not needed.";
    }
    HEADER_TOO_LARGE: "header_too_large" {
        "描述单个文件的扩展头超过 64 KiB", "The extended headers of one file exceed 64 KiB";
        "打包时不要带扩展属性，例如 tar --no-xattrs --no-acls。", "Pack without extended attributes, for example with tar --no-xattrs --no-acls.";
    }
    HEADER_CONTRADICTION: "header_contradiction" {
        "文件头自相矛盾：扩展头与条目的大小、名称或类型不一致", "The headers of an entry contradict each other about its size, name or type";
        "用常见的 tar 重新打包。", "Pack it again with an ordinary tar.";
    }
    FILE_TIME: "file_time" {
        "文件的时间早于 1970 年或晚于 2242 年，部分解压工具无法处理", "The time of a file is before 1970 or after 2242, which some unpackers cannot handle";
        "用 touch 把文件的修改时间改为现在，然后重新打包。", "Set the times of the files to now with touch, then pack them again.";
    }
    UNSUPPORTED_HEADER: "unsupported_header" {
        "文件头含有普通打包工具不会写入的内容，不同的解压工具对它的理解可能不同", "A header holds something that ordinary packers do not write, and that unpackers may read differently";
        "在 UTF-8 环境下用 tar -czf 重新打包，不要使用 --format=v7 等特殊选项。", "Pack it again with plain tar -czf in a UTF-8 locale, without special options such as --format=v7.";
    }
    AMBIGUOUS_FORMAT: "ambiguous_format" {
        "文件同时符合另一种格式，不同的解压工具会解出不同的内容", "The file is of another format at the same time, so unpackers would extract different things from it";
        "用 tar -czf 重新打包，第一个文件用普通的名称。", "Pack it again with tar -czf, and give the first file an ordinary name.";
    }
    EXTENDED_ATTRIBUTES: "extended_attributes" {
        "不允许包含扩展属性、ACL、文件标志或 macOS 元数据（._ 文件）", "Extended attributes, ACLs, file flags and metadata of macOS (._ files) are not allowed";
        "打包时加 --no-xattrs --no-acls；在 macOS 上用 COPYFILE_DISABLE=1 tar --no-xattrs -czf。", "Pack with --no-xattrs --no-acls; on macOS with COPYFILE_DISABLE=1 tar --no-xattrs -czf.";
    }
    PATH_TOO_LONG: "path_too_long" {
        "路径超过 512 字节，或其中一级名称超过 255 字节", "A path is longer than 512 bytes, or one name in it longer than 255";
        "缩短文件名或减少文件夹层级。", "Shorten names or nest fewer folders.";
    }
    PATH_TOO_DEEP: "path_too_deep" {
        "路径超过 32 级", "A path is more than 32 levels deep";
        "减少文件夹层级。", "Nest fewer folders.";
    }
    ABSOLUTE_PATH: "absolute_path" {
        "不允许使用绝对路径", "Absolute paths are not allowed";
        "在插件文件夹里用相对路径打包：tar -czf plugin.tar.gz info.json scripts。", "Pack from inside the plugin's folder with relative paths: tar -czf plugin.tar.gz info.json scripts.";
    }
    PARENT_PATH: "parent_path" {
        "路径中不允许出现 ..", "Paths must not contain ..";
        "在插件文件夹里打包，不要引用上级目录。", "Pack from inside the plugin's folder and refer to nothing above it.";
    }
    UNSAFE_PATH: "unsafe_path" {
        "路径含有反斜杠、控制字符、不可见字符、空的或 . 的一级", "A path holds a backslash, a control or invisible character, or an empty or . component";
        "重命名该文件。", "Rename the file.";
    }
    UNPORTABLE_PATH: "unportable_path" {
        "名称在 Windows 上不可用：含有 < > : \" | ? *、以空格开头、以空格或点结尾、是设备名（如 con、nul、com1）或形如短文件名（name~1）", "A name cannot be used on Windows: it holds one of < > : \" | ? *, begins with a space, ends with a space or a full stop, is a device (con, nul, com1, ...) or looks like a short name (name~1)";
        "重命名该文件或文件夹。", "Rename the file or folder.";
    }
    NON_UTF8_PATH: "non_utf8_path" {
        "文件名不是 UTF-8 编码", "A file name is not UTF-8";
        "把文件名转换成 UTF-8（例如用 convmv），再重新打包。", "Convert the name to UTF-8, for example with convmv, and pack again.";
    }
    DUPLICATE_PATH: "duplicate_path" {
        "路径重复，或与另一路径仅大小写或 Unicode 形式不同，或同时是文件和文件夹", "A path occurs twice, differs from another only by case or Unicode form, or is a file and a folder at once";
        "为每个文件和文件夹取一个在任何系统上都唯一的名称。", "Give every file and folder a name that is unique on every system.";
    }
    SYMBOLIC_LINK: "symbolic_link" {
        "不允许包含符号链接", "Symbolic links are not allowed";
        "用文件本身代替链接：tar -h 会打包链接的目标。", "Put the file itself in its place: tar -h packs the targets of links.";
    }
    HARD_LINK: "hard_link" {
        "不允许包含硬链接", "Hard links are not allowed";
        "把文件复制一份，或用 tar --hard-dereference 打包。", "Copy the file, or pack with tar --hard-dereference.";
    }
    DEVICE_FILE: "device_file" {
        "不允许包含设备文件", "Device files are not allowed";
        "从包中删除该条目。", "Remove the entry.";
    }
    FIFO: "fifo" {
        "不允许包含命名管道", "FIFOs are not allowed";
        "从包中删除该条目。", "Remove the entry.";
    }
    SPARSE_FILE: "sparse_file" {
        "不允许包含稀疏文件", "Sparse files are not allowed";
        "打包时不要使用 tar -S / --sparse。", "Pack without tar -S / --sparse.";
    }
    UNSUPPORTED_ENTRY: "unsupported_entry" {
        "不支持的条目类型：只允许普通文件和文件夹", "An entry is of an unsupported type: only files and folders are allowed";
        "用普通的 tar -czf 打包，不要使用增量、多卷或其他特殊模式。", "Pack with plain tar -czf; no incremental, multi-volume or other special modes.";
    }
    SETUID_FILE: "setuid_file" {
        "不允许设置 setuid、setgid 或粘滞位", "Files and folders must not be setuid, setgid or sticky";
        "执行 chmod -R ug-s,-t 文件夹，再重新打包。", "Run chmod -R ug-s,-t on the folder and pack again.";
    }
    UNUSUAL_MODE: "unusual_mode" {
        "权限会使解压工具的结果不同：所有者不能读、写或进入文件夹，不能读取文件，或不能执行其他人可执行的文件", "A mode on which unpackers disagree: a folder its owner cannot read, write and enter, a file its owner cannot read, or one that others may execute but its owner may not";
        "执行 chmod -R u+rwX 文件夹，再重新打包。", "Run chmod -R u+rwX on the folder and pack again.";
    }
    FILE_NOT_UTF8: "file_not_utf8" {
        "文件不是 UTF-8 文本，客户端无法安装", "A file is not UTF-8 text, so no client could install it";
        "转换成 UTF-8 或从包中删除；在 macOS 上用 COPYFILE_DISABLE=1 tar -czf 打包，避免产生 ._ 文件。", "Convert it to UTF-8 or remove it; on macOS pack with COPYFILE_DISABLE=1 tar -czf, which leaves out ._ files.";
    }
    MANIFEST_MISSING: "manifest_missing" {
        "插件包缺少 info.json 文件", "There is no info.json at the root of the package";
        "打包文件夹的内容而不是文件夹本身：cd 插件文件夹 && tar -czf ../plugin.tar.gz info.json scripts。", "Pack the content of the folder, not the folder: cd into it, then tar -czf ../plugin.tar.gz info.json scripts.";
    }
    MANIFEST_DUPLICATE: "manifest_duplicate" {
        "包里有不止一个 info.json", "There is more than one info.json";
        "只保留一个；打包时不要重复列出同一个文件。", "Keep one; do not name the same file twice when packing.";
    }
    MANIFEST_TOO_LARGE: "manifest_too_large" {
        "info.json 超过 1 MiB 或内容项过多", "info.json is larger than 1 MiB or holds too many values";
        "删除不属于插件描述的内容。", "Remove what does not describe the plugin.";
    }
    MANIFEST_BOM: "manifest_bom" {
        "info.json 以字节顺序标记（BOM）开头", "info.json begins with a byte order mark";
        "另存为“UTF-8 无 BOM”。", "Save it as UTF-8 without BOM.";
    }
    MANIFEST_MALFORMED: "manifest_malformed" {
        "info.json 不是有效的 JSON 对象", "info.json is not a valid JSON object in UTF-8";
        "用 JSON 检查工具（例如 python3 -m json.tool info.json）找出错误。", "Find the mistake with a JSON checker, for example python3 -m json.tool info.json.";
    }
    MANIFEST_DUPLICATE_KEY: "manifest_duplicate_key" {
        "info.json 中同一个键出现了两次", "A key occurs twice in info.json";
        "只保留其中一个。", "Keep one of them.";
    }
    INVALID_MANIFEST: "invalid_manifest" {
        "插件信息验证失败", "info.json breaks a rule";
        "按照每个字段的说明修改。", "Change each field as its message says.";
    }
    INVALID_ID: "invalid_id" {
        "插件 ID 只能由 3 到 50 个小写字母、数字、_ 或 - 组成", "An id is 3 to 50 of the characters a-z, 0-9, _ and -";
        "换一个符合规则的 ID。", "Choose an id that keeps the rule.";
    }
    RESERVED_ID: "reserved_id" {
        "该插件 ID 是保留字", "The id is reserved";
        "换一个 ID，例如加上前缀。", "Choose another id, for example with a prefix.";
    }
    INVALID_VERSION: "invalid_version" {
        "版本号不符合 SemVer 2.0", "The version is not a SemVer 2.0 version";
        "使用 1.2.3 或 1.2.3-rc.1 这样的版本号，不带 +build。", "Use a version like 1.2.3 or 1.2.3-rc.1, without +build.";
    }
    UNSAFE_TEXT: "unsafe_text" {
        "文本含有控制字符、方向控制符或不可见字符", "A text holds a control, direction or invisible character";
        "删除这些字符；它们常在复制粘贴时混入。", "Remove it; such characters often come along when pasting.";
    }
    SELF_DEPENDENCY: "self_dependency" {
        "插件不能依赖自己", "A plugin cannot depend on itself";
        "从 dependencies 中删除自己的 ID。", "Remove its own id from dependencies.";
    }
    SCRIPT_MISSING: "script_missing" {
        "info.json 列出的脚本不在包里", "A script named in info.json is not in the package";
        "把文件放到 scripts/ 下；file 是相对于 scripts/ 的路径，大小写要一致。", "Put the file below scripts/; file is relative to scripts/ and must match in case.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_fully_documented() {
        let mut seen = std::collections::HashSet::new();
        for doc in CODES {
            assert!(seen.insert(doc.code), "{} twice", doc.code);
            assert!(doc.code.bytes().all(|b| b.is_ascii_lowercase() || b"_8".contains(&b)));
            assert!(doc.en.is_ascii() && doc.advice_en.is_ascii(), "{}", doc.code);
            assert!(!doc.zh.is_ascii() && !doc.advice_zh.is_ascii(), "{}", doc.code);
            // They stand alone; only the name of the file is spelt as it is.
            assert!(
                doc.en.starts_with(|c: char| c.is_ascii_uppercase()) || doc.en.starts_with("info.json "),
                "{}",
                doc.code
            );
        }
    }
}
