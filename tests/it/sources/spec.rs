//! Reading specs, and refusing them with the place and the reason.

use distill::pipeline::source::{Spec, UnitKind, embedded};

const BASE: &str = "stream = \"s\"\nfiles = [\"a.jsonl\"]\n";

fn refused(text: &str) -> String {
    match Spec::parse("s", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_embedded_specs_parse() {
    let names: Vec<_> = embedded().iter().map(|(name, _)| *name).collect();
    assert!(names.is_sorted());
    for (name, text) in embedded() {
        let spec = Spec::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(spec.name(), *name);
        assert!(!spec.description().is_empty());
    }
}

#[test]
fn an_error_names_place_and_neighbour() {
    let cases = [
        ("stream = ", "s.toml:1:10: string values must be quoted, expected literal string"),
        ("files = [\"a\"]\n[fields]", "s.toml:1:1: stream is missing"),
        ("stream = \"S\"\nfiles = [\"a\"]", "s.toml:1:10: stream must be 1 to 64 of a-z, 0-9, _ and -"),
        ("stream = \"s\"", "s.toml:1:1: files is missing: name at least one file or glob"),
        (
            "stream = \"s\"\nfiles = [\"../a\"]",
            "s.toml:2:9: glob \"../a\" must be relative to the base, with `/` and without `..`",
        ),
        ("stream = \"s\"\nfiles = [1]", "s.toml:2:10: files must be an array of strings, found integer"),
        ("BASE", "s.toml:1:1: the table [fields] is missing: nothing would be recorded"),
        ("BASEunits = \"line\"\n[fields]", "s.toml:3:1: unknown entry `units`; did you mean `unit`?"),
        ("BASEunit = \"lines\"\n[fields]", "s.toml:3:8: unknown unit \"lines\"; did you mean `line`?"),
        ("BASEat = \".a\"\n[fields]", "s.toml:3:6: at is for the units element and value"),
        (
            "BASEunit = \"element\"\nat = \".a[]\"\n[fields]",
            "s.toml:4:6: at must be a plain path of names, such as .data.items",
        ),
        (
            "BASEpath = \"{a}{b}\"\n[fields]",
            "s.toml:3:8: path \"{a}{b}\" has two captures with nothing between them",
        ),
        ("BASE[fields]\nresponce = \".a\"", "s.toml:4:1: unknown field `responce`; did you mean `response`?"),
        (
            "BASE[fields]\nmodel.nmae = \".a\"",
            "s.toml:4:7: unknown field `model.nmae`; did you mean `model.name`?",
        ),
        (
            "BASE[fields]\nvalidations.x = \".a\"",
            "s.toml:4:1: unknown field `validations`; did you mean `validation`?",
        ),
        (
            "BASE[fields]\ntags = [\"a\"]",
            "s.toml:4:8: fields.tags must be an expression in a string, such as \".answer\" or '\"constant\"', found array",
        ),
        (
            "BASE[record]\nskip = [{ rule = \"blank_line\", when = \".\" }]\n[fields]",
            "s.toml:4:18: rule \"blank_line\" is built in",
        ),
        (
            "BASE[record]\nskip = [{ rule = \"r\", wen = \".\" }]\n[fields]",
            "s.toml:4:23: unknown entry `record.skip.wen`; did you mean `when`?",
        ),
        ("BASE[lookup.unit]\n[fields]", "s.toml:3:9: $unit is built in; choose another name"),
        (
            "BASE[lookup.tasks]\nfiles = [\"t\"]\nkey = \".id\"\n[fields]",
            "s.toml:3:9: lookup.tasks.on is missing",
        ),
    ];
    for (text, expected) in cases {
        let text = text.replace("BASE", BASE);
        let error = refused(&text);
        assert!(error.starts_with(expected), "{text}\n  said     {error}\n  expected {expected}");
    }
}

#[test]
fn an_error_inside_an_expression_has_its_place() {
    let field = |code: &str| refused(&format!("{BASE}[fields]\nresponse = {code}"));
    let cases = [
        (
            r"'$path.modle'",
            "4:18: `$path` has no `modle`: the spec's path does not capture it (line 1, column 6 of the expression)",
        ),
        (
            r#"'"\($path.b)"'"#,
            "4:21: `$path` has no `b`: the spec's path does not capture it (line 1, column 9 of the expression)",
        ),
        (r"'.a | foo'", "4:18: undefined filter `foo` (line 1, column 6 of the expression)"),
        (r#"".a | nope(1)""#, "4:18: undefined filter `nope/1` (line 1, column 6 of the expression)"),
        (r"'.a |'", "4:17: expected term, found the end (line 1, column 5 of the expression)"),
        (r"'.a | ]'", "4:18: expected token, found `]` (line 1, column 6 of the expression)"),
        (r"'.a[1'", "4:17: expected closing bracket, found the end (line 1, column 5 of the expression)"),
        ("'''\n.a\n| foo\n'''", "6:3: undefined filter `foo` (line 2, column 3 of the expression)"),
        (r#"".\"é\" | foo""#, "4:12: undefined filter `foo` (line 1, column 8 of the expression)"),
        (
            r"'.a | $task'",
            "4:18: undefined variable `$task`; the variables here are $unit, $path, $key, $sig_hash, $beside (line 1, column 6 of the expression)",
        ),
    ];
    for (code, expected) in cases {
        let error = field(code);
        assert_eq!(error, format!("s.toml:{expected}"), "{code}");
    }
}

#[test]
fn what_is_not_a_function_of_the_row_is_refused() {
    let field = |code: &str| refused(&format!("{BASE}[fields]\nresponse = '''{code}'''"));
    let refused_names = [
        "now",
        "now | todate",
        "[localtime]",
        "strflocaltime(\"%Y\")",
        "env.HOME",
        "$ENV.HOME",
        "input",
        "[inputs]",
        "input_filename",
        "debug",
        "debug(\"x\")",
        "stderr",
        "halt",
        "\"x\" | halt_error",
        "repeat(.)",
        "[while(. < 3; . + 1)]",
        "until(. > 3; . + 1)",
        "\"a\\(now)b\"",
        "{a: now}",
    ];
    for code in refused_names {
        assert!(field(code).contains("is not allowed: "), "{code}: {}", field(code));
    }
    for code in
        ["def f: f; f", "def f(x): x | [f(x)]; f(.)", "def f: (def g: f; g); f", "def f: \"\\(f)\"; f"]
    {
        assert!(field(code).contains("`f` calls itself"), "{code}: {}", field(code));
    }
    assert!(field(&format!("{}.{}", "(".repeat(5_000), ")".repeat(5_000))).contains("nest deeper"));
    assert!(field(&format!("1{}", " + 1".repeat(20_000))).contains("longer than"));
    assert!(field("recurse(.)").contains("`recurse(f)` is not allowed"));
    assert!(field("import \"a\" as a; .").contains("modules cannot be imported"));
    let allowed = [
        "{now: 1}.now",
        ".now",
        ".env.input",
        "def f: .a; def g: f | f; g",
        "[..]",
        "recurse",
        "[limit(3; .[])]",
        ".ts | fromdate",
        "gmtime | mktime",
        "getpath([\"a\"])",
        "[.[] | select(.a) | .b] | last",
        "walk(.)",
    ];
    for code in allowed {
        let text = format!("{BASE}[fields]\nresponse = '''{code}'''");
        if let Err(e) = Spec::parse("s", &text) {
            panic!("{code}: {e}");
        }
    }
}

#[test]
fn the_longest_chains_do_not_exhaust_the_stack() {
    let chains = [
        ("1", " + 1", ""),
        (".", " | .", ""),
        (".", "//.", ""),
        ("", "-", "1"),
        (".", ",.", ""),
        ("", "try ", "."),
        ("", ". as $x|", "."),
        ("", "if . then ", ""),
        ("", "def f:1;", "."),
        (".", "[0]", ""),
        (".a", ".a", "?"),
        ("", "reduce . as $x ", ""),
        ("\"", "\\(1)", "\""),
        ("", "[", ""),
        ("", "{a:", ""),
        ("1", " and 1", ""),
    ];
    for ((head, link, tail), times) in
        chains.into_iter().flat_map(|c| [30, 60, 90, 120, 190, 380, 4_000].map(|n| (c, n)))
    {
        let chain = format!("{head}{}{tail}", link.repeat(times));
        let text = format!("{BASE}[fields]\nresponse = '''{chain}'''");
        if let Ok(spec) = Spec::parse("s", &text) {
            super::map_row(&spec, "{\"a\":1}");
        }
    }
}

#[test]
fn the_id_is_that_of_the_meaning() {
    let id = |text: &str| Spec::parse("s", text).unwrap_or_else(|e| panic!("{e}")).id();
    let plain = id("stream = \"s\"\nfiles = [\"a\"]\n[fields]\nmodel.name = \".m\"\nrun_id = '.r'\n");
    let dressed = id(
        "# what it is\ndescription = \"d\"\nfiles = \"a\"\nstream = 's'\nunit = \"line\"\n[record]\nemit = ' . '\n\
         [fields]\nrun_id = \".r\" # the run\n[fields.model]\nname = '''\n.m'''\n",
    );
    assert_eq!(plain, dressed, "comments, layout, order, defaults and description do not count");
    let renamed = Spec::parse(
        "other",
        "stream = \"s\"\nfiles = [\"a\"]\n[fields]\nmodel.name = \".m\"\nrun_id = '.r'\n",
    );
    assert_eq!(plain, renamed.expect("a spec").id(), "nor does the file's name");
    for other in [
        "stream = \"t\"\nfiles = [\"a\"]\n[fields]\nmodel.name = \".m\"\nrun_id = '.r'\n",
        "stream = \"s\"\nfiles = [\"b\"]\n[fields]\nmodel.name = \".m\"\nrun_id = '.r'\n",
        "stream = \"s\"\nfiles = [\"a\"]\n[fields]\nmodel.name = \".m\"\nrun_id = '.r2'\n",
        "stream = \"s\"\nfiles = [\"a\"]\n[record]\nkey = \".k\"\n[fields]\nmodel.name = \".m\"\nrun_id = '.r'\n",
    ] {
        assert_ne!(plain, id(other), "{other}");
    }
}

#[test]
fn a_spec_says_what_it_reads() {
    let spec = Spec::parse(
        "s",
        "stream = \"s\"\nfiles = [\"d/*.json\", \"e.json.gz\"]\nexclude = [\"d/no*\"]\nunit = \"value\"\nat = \".a.\\\"b c\\\"\"\n\
         [lookup.tasks]\nfiles = [\"t.jsonl\"]\nkey = \".id\"\non = \".task\"\n[fields]\ncontext = \"$tasks.text\"\n",
    )
    .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((spec.unit(), spec.at()), (UnitKind::Value, Some(".a.\"b c\"")));
    assert!(spec.files().contains("d/x.json") && spec.files().contains("e.json.gz"));
    assert!(!spec.files().contains("d/no.json") && !spec.files().contains("d/e/x.json"));
    let (name, lookup) = spec.lookups().iter().next().expect("one lookup");
    assert_eq!((name.as_str(), lookup.unit(), lookup.at()), ("tasks", UnitKind::Line, None));
    assert!(lookup.files().contains("t.jsonl"));
}
