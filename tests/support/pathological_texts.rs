//! Texts that are short and can be expensive to show: patterns repeated, nested, endless, and what they cost.

use std::{fs, thread, time::Duration};

/// Characters that mean something to Markdown, to a shell or to JSON.
const CHARACTERS: &str = "\n `\"#$'()*+-<>[\\]_{|}~!&:";
/// What is repeated as it stands.
const REPEATED: [(&str, &str); 48] = [
    ("letters", "a"),
    ("digits", "7"),
    ("tabs", "\t"),
    ("carriage returns", "\r\n"),
    ("blank lines with spaces", " \n"),
    ("short lines", "a\n"),
    ("two short lines in turn", "a\nb\n"),
    ("expansions that never end", "${"),
    ("expansions of a name that never end", "${A"),
    ("substitutions that never end", "$(("),
    ("here-documents that never end", "<<A\n"),
    ("here-documents on one line", "<<A "),
    ("here-documents without a word", "<<-"),
    ("here-documents in quotes", "<<'A'\n"),
    ("escaped quotes", "\\\""),
    ("comments", "# \n"),
    ("keywords", "if "),
    ("numbers", "1 "),
    ("nested quotes on one line", "> "),
    ("nested lists on one line", "- "),
    ("nested numbered lists on one line", "1. "),
    ("nested lists with empty items", "* + - "),
    ("quotes and lists in turn", "> - "),
    ("emphasis that never ends", "*a "),
    ("strong emphasis that never ends", "**a "),
    ("two kinds of emphasis in turn", "*a _b "),
    ("emphasis in three sizes", "a***b**c*"),
    ("strikethrough", "~~a ~b"),
    ("links that never end", "[a]("),
    ("links inside each other", "[a[b](c)"),
    ("links with titles that never end", "[a](b \"c"),
    ("link references that lead nowhere", "[a][b]"),
    ("pictures that never end", "![a]("),
    ("footnotes", "[^a]: b\n\n[^a]"),
    ("autolinks", "<http://a.b>"),
    ("bare addresses", "http://a.b/("),
    ("bare hosts", "www.a.b."),
    ("mail addresses", "a@b.c "),
    ("mail addresses that never end", "a.b-c_d@"),
    ("entities", "&amp;"),
    ("entities that never end", "&#x41"),
    ("HTML elements", "<b>"),
    ("HTML comments that never end", "<!--"),
    ("HTML instructions and declarations", "<?<!A<![CDATA["),
    ("code fences", "```\n"),
    ("table rows", "|a|b|\n|-|-|\n"),
    ("headings underlined", "a\n=\n"),
    ("Chinese", "插件市场 "),
];

/// One text.
pub(crate) struct Text {
    pub(crate) name: String,
    make: Box<dyn Fn(usize) -> String>,
}

impl Text {
    fn new(name: impl Into<String>, make: impl Fn(usize) -> String + 'static) -> Self {
        Self { name: name.into(), make: Box::new(make) }
    }

    /// The text in a length, in bytes.
    pub(crate) fn of(&self, length: usize) -> String {
        let mut text = (self.make)(length);
        text.truncate(text.floor_char_boundary(length));
        text
    }
}

fn repeated(piece: &str, length: usize) -> String {
    piece.repeat(length / piece.len() + 1)
}

/// Opened as often as there is room, then closed as often.
fn nested(open: &'static str, close: &'static str) -> impl Fn(usize) -> String {
    move |length| {
        let times = length / (open.len() + close.len());
        format!("{}a{}", open.repeat(times), close.repeat(times))
    }
}

/// Numbered pieces, each different.
fn numbered(piece: &'static str) -> impl Fn(usize) -> String {
    move |length| {
        let mut text = String::new();
        for i in 0.. {
            if text.len() >= length {
                break;
            }
            text.push_str(&piece.replace('#', &i.to_string()));
        }
        text
    }
}

/// Lines, each further to the right.
fn stairs(sign: &'static str) -> impl Fn(usize) -> String {
    move |length| {
        let mut text = String::new();
        for i in 0.. {
            if text.len() >= length {
                break;
            }
            text.push_str(&"  ".repeat(i));
            text.push_str(sign);
        }
        text
    }
}

fn table(columns: usize) -> impl Fn(usize) -> String {
    move |length| {
        let mut text = format!("{}|\n{}|\n", "|a".repeat(columns), "|-".repeat(columns));
        text.push_str(&"|\n".repeat((length / 2).saturating_sub(text.len() / 2)));
        text
    }
}

/// All of them, over three hundred.
pub(crate) fn texts() -> Vec<Text> {
    let mut texts = Vec::new();
    let characters: Vec<char> = CHARACTERS.chars().collect();
    for first in &characters {
        for second in &characters {
            let piece: String = if first == second { first.to_string() } else { [*first, *second].iter().collect() };
            texts.push(Text::new(format!("{piece:?} repeated"), move |length| repeated(&piece, length)));
        }
    }
    for (name, piece) in REPEATED {
        texts.push(Text::new(name, move |length| repeated(piece, length)));
    }
    for (open, close) in [
        ("[", "]"),
        ("[", "](a)"),
        ("![", "](a)"),
        ("*a **b ", " b** a*"),
        ("*a _b ", " b_ a*"),
        ("~~a *b ", " b* a~~"),
        ("(", ")"),
        ("{", "}"),
        ("{\"a\":[", "]}"),
        ("<div>", "</div>"),
        ("<b><i>", "</i></b>"),
        ("${a:-", "}"),
        ("$(", ")"),
        ("\"$(", ")\""),
        ("`a ", " `"),
        ("[a](<", ">)"),
    ] {
        texts.push(Text::new(format!("{open} … {close} nested"), nested(open, close)));
    }
    for piece in [
        "[a#]: b#\n",
        "[a#]: b\n\n[a#] ",
        "<<A#\n",
        "[^#]: a\n\n[^#] ",
        "`#` ``#`` ```# ",
        "#. a\n",
        "|#|#|\n|-|-|\n|#|\n\n",
    ] {
        texts.push(Text::new(format!("{piece:?} numbered"), numbered(piece)));
    }
    for sign in ["- a\n", "> a\n", "1. a\n", "* > a\n"] {
        texts.push(Text::new(format!("{sign:?} as stairs"), stairs(sign)));
    }
    for columns in [2, 30, 300, 3_000] {
        texts.push(Text::new(format!("a table of {columns} columns"), table(columns)));
    }
    texts.push(Text::new("code spans of growing length", |length| {
        let mut text = String::new();
        for i in 1.. {
            if text.len() >= length {
                break;
            }
            text.push_str(&"`".repeat(i));
            text.push(' ');
        }
        text
    }));
    texts.push(Text::new("one reference used by many links", |length| {
        format!("[a]: /{}\n\n{}", "b".repeat(length / 2), "[a] ".repeat(length / 8))
    }));
    texts.push(Text::new("combining characters", |length| repeated("e\u{301}\u{327}", length)));
    texts.push(Text::new("mixed scripts", |length| repeated("a界\u{627}\u{e9}\u{1f600}", length)));
    texts.push(Text::new("lines that differ at random", |length| {
        let mut state = 1_u32;
        let digits = std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'0' + (state >> 29) as u8)
        });
        digits.flat_map(|digit| [digit, '\n']).take(length).collect()
    }));
    texts
}

/// CPU time this thread has taken so far.
pub(crate) fn cpu() -> Duration {
    // The kernel brings the figure up to date when the thread pauses.
    thread::sleep(Duration::from_micros(100));
    let figures = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    Duration::from_nanos(figures.split(' ').next().and_then(|figure| figure.parse().ok()).expect("nanoseconds"))
}

/// CPU time of some work.
pub(crate) fn cost(work: impl FnOnce()) -> Duration {
    let before = cpu();
    work();
    cpu() - before
}

/// The factor by which this build is slower than one that is optimised, at most.
pub(crate) const SLOWNESS: u32 = if cfg!(debug_assertions) { 20 } else { 1 };

/// Finds the texts whose cost grows faster than their length, or which take longer in full length than may be.
/// Work that ends by itself after some time, whatever the text, may take as much of it as `budget`. Prints the most
/// expensive ones.
pub(crate) fn check(what: &str, full: usize, budget: Duration, work: impl Fn(&str, &str)) {
    const MOST: Duration = Duration::from_millis(250);
    let noise = budget + Duration::from_micros(500) * SLOWNESS.min(8);
    let texts = texts();
    let cost_at = |i: usize, length: usize| {
        // With its neighbour, for whatever looks at two texts.
        let (text, other) = (texts[i].of(length), texts[(i + 1) % texts.len()].of(length));
        cost(|| work(&text, &other))
    };
    // The cost at twice the length, and whether it is in proportion.
    let growth = |i: usize, length: usize| {
        let mut wrong = String::new();
        // Whoever shares the machine can only make it look worse.
        for _ in 0..5 {
            let (once, twice) = (cost_at(i, length), cost_at(i, 2 * length));
            if twice <= once * 5 / 2 + noise {
                return (twice, None);
            }
            wrong = format!("{what}: {}, {length} bytes {once:?}, twice as many {twice:?}", texts[i].name);
        }
        (cost_at(i, 2 * length), Some(wrong))
    };
    let (mut costs, mut wrong) = (Vec::new(), Vec::new());
    for i in 0..texts.len() {
        let (cost, too_much) = growth(i, full / 64);
        costs.push((cost, i));
        wrong.extend(too_much);
    }
    costs.sort_unstable();
    for (_, i) in costs.into_iter().rev().take(5) {
        let (cost, too_much) = growth(i, full / 2);
        println!("| {what} | {} | {full} bytes | {:.1} ms |", texts[i].name, cost.as_secs_f64() * 1000.0);
        wrong.extend(too_much);
        if cost > MOST * SLOWNESS {
            wrong.push(format!("{what}: {}, {full} bytes {cost:?}", texts[i].name));
        }
    }
    assert!(texts.len() >= 300 && wrong.is_empty(), "{wrong:#?}");
}
