//! What users and the server may rely on, asked through the public interface.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use super::{Document, Index};

fn document(key: u64, id: &str, name: &str, description: &str) -> Document {
    Document { key, id: id.into(), name: name.into(), description: description.into(), ..Document::default() }
}

fn index(documents: &[Document]) -> Index {
    let index = Index::in_memory().expect("memory suffices");
    index.rebuild(documents.iter().cloned(), 1, |_| {}).expect("the index is filled");
    index
}

fn keys(index: &Index, query: &str) -> Vec<u64> {
    let found = index.search(query, &|_| true, &|_| 0.0, None, 1_000).expect("the index answers");
    assert_eq!(found.total, found.hits.len());
    found.hits.iter().map(|(key, _)| *key).collect()
}

fn samples() -> Vec<Document> {
    let mut samples = vec![
        document(1, "docker-cleaner", "Docker 清理", "删除停止的容器"),
        document(2, "container-kit", "容器管家", "Cleans Docker caches"),
        document(3, "oauth2-helper", "OAuth2 Helper", "Fetches tokens"),
        document(4, "json-formatter", "JSON Formatter", "Pretty prints JSON"),
        document(5, "log-cleaner", "日志清理", "按天数清理旧日志"),
        document(6, "cpp-build", "C++ 构建", "CMake 项目"),
        document(7, "percent", "100%", "Literally"),
    ];
    samples[1].tags = vec!["maintenance".into()];
    samples[1].author = "grace".into();
    samples[1].scripts = vec!["sweep.sh".into()];
    samples
}

#[test]
fn an_exact_id_or_name_comes_first_whatever_its_case_width_and_script() {
    let mut documents = samples();
    documents.push(document(50, "log-cleaner-pro", "日志清理 日志清理", "日志清理 log-cleaner"));
    let index = index(&documents);
    let popular = |key: u64| if key == 50 { 1.0 } else { 0.0 };
    for query in ["log-cleaner", "LOG-Cleaner", "日志清理", "日誌清理", "日志 清理", "ｌｏｇ－ｃｌｅａｎｅｒ"]
    {
        let found = index.search(query, &|_| true, &popular, None, 5).expect("the index answers");
        assert_eq!(found.hits[0].0, 5, "{query}");
    }
}

#[test]
fn every_field_is_searched() {
    let index = index(&samples());
    for query in ["container-kit", "管家", "maintenance", "caches", "sweep", "grace"] {
        assert_eq!(keys(&index, query)[0], 2, "{query}");
    }
}

#[test]
fn popularity_lifts_but_never_over_a_better_match() {
    let index = index(&[
        document(1, "aaa", "Redis Watch", ""),
        document(2, "bbb", "Redis Guard", ""),
        document(3, "ccc", "Cache Guard", "for redis and others"),
    ]);
    let most = 1.0;
    let order = |popular: u64| {
        let lift = |key| {
            if key == popular { most } else { 0.0 }
        };
        let found = index.search("redis", &|_| true, &lift, None, 3).expect("the index answers");
        found.hits.iter().map(|(key, _)| *key).collect::<Vec<_>>()
    };
    assert_eq!(order(2), [2, 1, 3]);
    assert_eq!(order(3), [1, 2, 3]);
}

#[test]
fn forms_typos_compounds_and_prefixes_are_found() {
    let index = index(&samples());
    let same = [
        ("oauth", 3),
        ("oath2", 3),
        ("helpers", 3),
        ("jsonformatter", 4),
        ("jsonFormatter", 4),
        ("json_format", 4),
        ("formater", 4),
        ("dokcer-cleaner", 1),
        ("form", 4),
        ("清理日志", 5),
        ("日", 5),
        ("lgo-cleaner", 5),
        ("c++", 6),
        ("json formatting", 4),
    ];
    for (query, key) in same {
        assert_eq!(keys(&index, query).first(), Some(&key), "{query}");
    }
}

#[test]
fn nonsense_and_metacharacters_find_nothing_else() {
    let index = index(&samples());
    for query in ["", " ", "%", "_", "\"", "*", "\0", "🚀", "x:y^2~", "xyzzyq", "量子烤鸭", "2024 量子", "\u{202e}"]
    {
        assert_eq!(keys(&index, query), [0; 0], "{query}");
    }
    assert_eq!(keys(&index, "100%"), [7]);
    assert_eq!(keys(&index, "docker\" OR \"(清理)"), keys(&index, "docker or 清理"));
    assert_eq!(keys(&index, "json\0formatter"), [4]);
}

#[test]
fn one_unknown_word_does_not_empty_the_answer() {
    let index = index(&samples());
    let found = |query: &str| {
        let found = index.search(query, &|_| true, &|_| 0.0, None, 10).expect("the index answers");
        (found.hits.first().map(|(key, _)| *key), found.ignored)
    };
    assert_eq!(found("docker 烤鸭"), (Some(1), vec!["烤鸭".to_owned()]));
    assert_eq!(found("json xyzzyq"), (Some(4), vec!["xyzzyq".to_owned()]));
    assert_eq!(found("日志青理").0, Some(5));
    assert_eq!(found("json 3.12"), (Some(4), vec![]));
    assert_eq!(found("json formatter"), (Some(4), vec![]));
    // What is left must be what a plugin is about, and most of the question.
    for query in ["caches xyzzyq", "docker xyzzyq quuxly", "tool xyzzyq", "7 xyzzyq"] {
        assert_eq!(found(query), (None, vec![]), "{query}");
    }
}

#[test]
fn concepts_are_found_in_the_other_language_behind_what_is_written() {
    let index = index(&[
        document(1, "tunnel-easy", "Tube Easy", "sets up a tunnel"),
        document(2, "suidao", "隧道助手", "建立隧道"),
        document(3, "pg-dump", "PG Dump", "Saves a database"),
        document(4, "beifen", "资料库備份", ""),
        document(5, "k8s-tools", "K8s Tools", ""),
    ]);
    assert_eq!(keys(&index, "tunnel"), [1, 2]);
    assert_eq!(keys(&index, "隧道"), [2, 1]);
    assert_eq!(keys(&index, "数据库"), [4, 3]);
    assert_eq!(keys(&index, "kubernetes"), [5]);
}

#[test]
fn chinese_names_and_tags_are_found_in_pinyin() {
    let index = index(&samples());
    for query in ["rizhi", "rizhiqingli", "qingli rizhi", "rzql", "rizhiq"] {
        assert_eq!(keys(&index, query).first(), Some(&5), "{query}");
    }
}

#[test]
fn what_shares_a_word_stands_behind_few_answers() {
    let index = index(&samples());
    let all = |query: &str| index.search(query, &|_| true, &|_| 0.0, None, 100).expect("the index answers");
    let found = all("docker tokens pretty");
    assert_eq!((found.answers, found.total, found.hits.len()), (0, 0, 0));
    let found = all("docker 停止 caches");
    assert_eq!((found.answers, found.total), (2, 2));
    let found = all("docker 清理 停止 json");
    assert_eq!((found.hits[0].0, found.answers, found.total), (1, 2, 4));
}

#[test]
fn the_total_counts_what_is_wanted_and_pages_join_without_gaps() {
    let documents: Vec<Document> =
        (0..5_000).map(|key| document(key, &format!("tool-{key}"), "Backup", "same words")).collect();
    let index = index(&documents);
    let wanted = |key: u64| key.is_multiple_of(2);
    let lift = |key: u64| (key % 97) as f32 / 97.0;
    let all = index.search("same words", &wanted, &lift, None, usize::MAX).expect("the index answers");
    assert_eq!((all.total, all.hits.len()), (2_500, 2_500));
    for limit in [0, 1, 20, 1_999] {
        let part = index.search("same words", &wanted, &lift, None, limit).expect("the index answers");
        assert_eq!((part.total, &part.hits[..]), (2_500, &all.hits[..limit]));
    }
}

#[test]
fn a_search_with_very_many_answers_ends_early_with_the_same_best() {
    let documents: Vec<Document> = (0..12_000)
        .map(|key| {
            let name = if key % 100 == 7 { "Backup" } else { "Tool" };
            document(key, &format!("x{key}"), name, if key % 10 == 3 { "backup of redis" } else { "makes a backup" })
        })
        .collect();
    let index = index(&documents);
    let lift = |key: u64| 1.0 - key as f32 / 12_000.0;
    for query in ["backup", "backup redis"] {
        let early = index.search(query, &|_| true, &lift, Some(0), 10).expect("the index answers");
        let all = index.search(query, &|_| true, &lift, None, 10).expect("the index answers");
        assert_eq!((early.total, early.is_exact), (10_000, false), "{query}");
        assert_eq!((all.total, all.is_exact), (10_000, false), "{query}");
        let keys = |found: &super::Found| found.hits.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(keys(&early), keys(&all), "{query}");
    }
    // Where too few are certain, all are counted.
    for unwanted in [Some(3_000), None] {
        let found = index.search("backup", &|key| key >= 3_000, &lift, unwanted, 10).expect("the index answers");
        assert_eq!((found.total, found.is_exact), (9_000, true));
    }
}

#[test]
fn endless_queries_cost_little() {
    let index = index(&samples());
    let start = std::time::Instant::now();
    let words: String = (0..50_000).map(|i| format!("word{i} 词{i} ")).collect();
    for query in ["清".repeat(10_000), "a".repeat(1_000_000), words, "docker ".repeat(5_000), "-".repeat(100_000)] {
        index.search(&query, &|_| true, &|_| 0.0, None, 10).expect("the index answers");
    }
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}

#[test]
fn changes_are_visible_when_apply_returns() {
    let index = index(&samples());
    let renamed = document(5, "paper-shelf", "归档助手", "");
    let twice = vec![document(8, "draft", "Draft", ""), document(8, "final", "Final", ""), renamed];
    index.apply(twice, &[1, 999], 2).expect("the change is applied");
    assert_eq!(index.revision(), 2);
    assert_eq!(index.documents(), 7);
    assert_eq!(keys(&index, "归档助手"), [5]);
    assert_eq!(keys(&index, "日志"), [0; 0]);
    assert_eq!(keys(&index, "final"), [8]);
    assert_eq!(keys(&index, "draft"), [0; 0]);
    assert_eq!(keys(&index, "docker-cleaner"), [2]);
    for revision in 3..40 {
        let name = format!("Version{revision}");
        index.apply(vec![document(5, "log-cleaner", &name, "")], &[], revision).expect("the change is applied");
        assert_eq!(keys(&index, &name), [5]);
        assert_eq!(index.documents(), 7);
    }
    index.rest().expect("background work ends");
    assert_eq!(keys(&index, "Version39"), [5]);
}

#[test]
fn an_index_that_was_changed_answers_like_one_that_is_rebuilt() {
    let changed = index(&samples());
    let mut documents: BTreeMap<u64, Document> = samples().into_iter().map(|d| (d.key, d)).collect();
    let mut random = 7_u64;
    let mut roll = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for revision in 2..400 {
        let new: Vec<Document> = (0..1 + roll(9))
            .map(|_| {
                let (key, number) = (1 + roll(900), roll(30));
                document(key, &format!("tool-{key}"), &format!("日志 {number}"), &format!("docker word{number}"))
            })
            .collect();
        let gone: Vec<u64> = if roll(40) == 0 { vec![1 + roll(900)] } else { Vec::new() };
        gone.iter().for_each(|key| drop(documents.remove(key)));
        documents.extend(new.iter().map(|document| (document.key, document.clone())));
        changed.apply(new, &gone, revision).expect("the change is applied");
        if roll(100) == 0 {
            changed.rest().expect("the change is written");
        }
        assert_eq!((changed.revision(), changed.documents()), (revision, documents.len() as u64));
        assert!(changed.segments() < 30, "{}", changed.segments());
        if revision % 20 == 0 {
            let rebuilt = index(&documents.values().cloned().collect::<Vec<_>>());
            for query in ["docker", "word7", "日志 7", "tool-77", "wrod7"] {
                let sorted = |index: &Index| {
                    let mut found = keys(index, query);
                    found.sort_unstable();
                    found
                };
                // Deleted documents still count as such that have a word, so ranks may differ.
                assert_eq!(sorted(&changed), sorted(&rebuilt), "{query} at {revision}");
            }
        }
    }
}

#[test]
fn what_an_index_lacks_after_a_restart_is_told_by_its_revision() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("search");
    let index = Index::open_or_create(&path).expect("an index").index;
    index.rebuild(samples().into_iter(), 1, |_| {}).expect("the index is filled");
    index.apply(vec![document(8, "early", "Early", "")], &[], 2).expect("the change is applied");
    index.rest().expect("the change is written");
    index.apply(vec![document(9, "late", "Late", "")], &[], 3).expect("the change is applied");
    assert_eq!((keys(&index, "early"), keys(&index, "late")), (vec![8], vec![9]));
    drop(index);
    let index = Index::open_or_create(&path).expect("an index").index;
    assert_eq!((index.revision(), keys(&index, "early"), keys(&index, "late")), (2, vec![8], vec![]));
}

#[test]
fn an_index_survives_a_restart_and_a_damaged_one_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("search");
    let opened = Index::open_or_create(&path).expect("an index");
    assert!(opened.is_new);
    let told = Cell::new(0);
    opened.index.rebuild(samples().into_iter(), 41, |count| told.set(count)).expect("the index is filled");
    assert_eq!(told.get(), 7);
    opened.index.apply(vec![document(9, "late", "Late", "")], &[3], 42).expect("the change is applied");
    drop(opened);

    let opened = Index::open_or_create(&path).expect("an index");
    assert!(!opened.is_new);
    assert_eq!((opened.index.revision(), opened.index.documents()), (42, 7));
    assert_eq!(keys(&opened.index, "late"), [9]);
    drop(opened);

    let terms = fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path());
    for file in terms.filter(|path| path.extension().is_some_and(|extension| extension == "term")) {
        let mut bytes = fs::read(&file).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(&file, bytes).expect("writable");
    }
    let opened = Index::open_or_create(&path).expect("an index");
    assert!(opened.is_new);
    assert_eq!((opened.index.revision(), opened.index.documents()), (0, 0));
    assert_eq!(keys(&opened.index, "late"), [0; 0]);
}

#[test]
fn a_failed_rebuild_leaves_what_was_there() {
    let index = index(&samples());
    let failing = samples().into_iter().map(|document| if document.key == 4 { panic!("lost") } else { document });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| index.rebuild(failing, 2, |_| {})));
    assert!(outcome.is_err());
    assert_eq!((index.revision(), index.documents()), (1, 7));
    index.apply(vec![document(9, "late", "Late", "")], &[], 3).expect("the change is applied");
    assert_eq!(index.documents(), 8);
}
