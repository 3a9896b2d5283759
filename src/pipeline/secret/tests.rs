//! The scanner by itself: forms, masks, tables. What each rule of the shipped table finds is in `tests/it/secrets.rs`.

use super::*;
use proptest::prelude::*;

fn scanner() -> Scanner {
    Scanner::new(&Table::embedded().expect("the table is good")).expect("its patterns compile")
}

fn own(text: &str) -> Result<Scanner, TableError> {
    Scanner::new(&Table::parse("secrets.toml", text)?)
}

/// A credential that belongs to nobody, put together here so that none stands in a file.
fn planted() -> String {
    ["AK", "IA", "QYLPMN5HFIQR7XYA"].concat()
}

fn rule(scanner: &Scanner, text: &str) -> Option<(String, Vec<&'static str>)> {
    scanner.scan(text).map(|finding| (finding.rule, finding.forms))
}

#[test]
fn the_table_is_searched_by_vectors_alone_where_the_machine_has_them() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    assert_eq!(scanner().keywords.searches(), (3, 0), "two vector searches for long literals, one for short");
}

#[test]
fn a_finding_is_masked() {
    let secret = planted();
    let finding = scanner().scan(&format!("see {secret}.")).expect("found");
    assert_eq!(finding.rule, "aws-access-key-id");
    assert_eq!(finding.masked, "AKIA******** (20 characters)");
    let masked = scanner().masked(&format!("ä {secret} and {secret}, é")).into_owned();
    assert_eq!(masked, "ä ******** and ********, é");
    assert!(matches!(scanner().masked("nothing here"), Cow::Borrowed("nothing here")));
}

#[test]
fn what_is_hidden_in_another_form_is_found_and_withheld() {
    let scanner = scanner();
    let secret = planted();
    let escaped: String = secret.bytes().map(|b| format!("\\u{b:04x}")).collect();
    let percent: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
    let cases = [
        (format!("run\\n{secret}\\n"), vec!["escaped"]),
        (escaped, vec!["escaped"]),
        (format!("q={percent}&x"), vec!["percent"]),
    ];
    for (text, forms) in cases {
        assert_eq!(rule(&scanner, &text), Some(("aws-access-key-id".to_owned(), forms)), "{text}");
        let masked = scanner.masked(&text);
        assert!(masked.starts_with("(withheld"), "{masked}");
    }
}

#[test]
fn allow_lists_of_one_condition_and_of_all() {
    let text = |condition: &str| {
        format!(
            "[[rules]]\nid = \"r\"\nregex = '''key=([a-z0-9]+)'''\nkeywords = [\"key\"]\n\
             [[rules.allowlists]]\ncondition = \"{condition}\"\nregexTarget = \"line\"\nregexes = ['''# test''']\n\
             stopwords = [\"Sample\"]\n"
        )
    };
    let (any, all) = (own(&text("OR")).expect("good"), own(&text("AND")).expect("good"));
    for (line, found_any, found_all) in [
        ("a\nkey=abcd1 # test\nb", false, true),
        ("key=sample1", false, true),
        ("key=sample1 # test", false, false),
        ("key=abcd1\n# test", true, true),
    ] {
        assert_eq!((any.scan(line).is_some(), all.scan(line).is_some()), (found_any, found_all), "{line}");
    }
    // What holds for files or commits alone holds for no text.
    let paths = text("AND").replace("regexTarget", "paths = [\".*\"]\nregexTarget");
    assert!(own(&paths).expect("good").scan("key=sample1 # test").is_some());
}

#[test]
fn entropy_and_the_group_that_is_the_secret() {
    let with = |more: &str| {
        own(&format!("[[rules]]\nid = \"r\"\nregex = '''(k)=([a-z0-9]+)'''\n{more}\n")).expect("good")
    };
    let masked = |scanner: Scanner| scanner.scan("k=abcdefgh1").map(|finding| finding.masked);
    assert_eq!(masked(with("")).as_deref(), Some("******** (1 characters)"), "the first group");
    assert_eq!(masked(with("secretGroup = 2\nentropy = 3.1")).as_deref(), Some("******** (9 characters)"));
    assert_eq!(masked(with("secretGroup = 2\nentropy = 3.2")), None, "log2(9) is 3.17");
}

#[test]
fn a_table_of_ones_own_takes_the_place_of_ours_or_adds_to_it() {
    let secret = planted();
    let rules = "[[rules]]\nid = \"house\"\nregex = '''hk-[0-9]{6}'''\nkeywords = [\"hk-\"]\n";
    let alone = own(rules).expect("good");
    assert_eq!(rule(&alone, &secret), None);
    assert_eq!(rule(&alone, "hk-123456"), Some(("house".to_owned(), vec![])));
    let added =
        own(&format!("[extend]\nuseDefault = true\ndisabledRules = [\"jwt\"]\n{rules}")).expect("good");
    assert_eq!(rule(&added, &secret).map(|(rule, _)| rule).as_deref(), Some("aws-access-key-id"));
    assert_eq!(rule(&added, "hk-123456"), Some(("house".to_owned(), vec![])));
    assert_ne!(added.id(), scanner().id());
    let comment = own(&format!("# words\ntitle = \"t\"\n{rules}")).expect("good");
    assert_eq!(comment.id(), alone.id(), "a comment changes nothing");
}

#[test]
fn refusals_name_the_file_or_the_rule() {
    let refusal = |text: &str| own(text).map(|_| ()).expect_err("must be refused").to_string();
    let rule = "[[rules]]\nid = \"r\"\nregex = \"a\"\n";
    assert!(refusal(&rule.replace("regex", "regexp")).contains("line 3"));
    assert!(refusal(&rule.repeat(2)).contains("`r`"));
    assert!(refusal(&rule.replace("\"a\"", "\"(\"")).contains("`r`"));
    assert!(refusal(&format!("{rule}secretGroup = 1\n")).contains("no group 1"));
    assert!(refusal("[extend]\nuseDefault = true\ndisabledRules = [\"jwd\"]").contains("`jwd`"));
}

proptest! {
    #[test]
    fn no_text_breaks_it_and_what_is_masked_is_clean(
        text in "([a-zA-Zä ]{0,9}|\\\\{1,3}[nu\"/]?[0-9a-f]{0,5}|%[0-9A-F]{0,3}|[A-Za-z0-9+/=]{0,60}|password = \"a1b2c3d4e5\"|@){0,12}",
    ) {
        static SCANNER: std::sync::LazyLock<Scanner> = std::sync::LazyLock::new(scanner);
        let masked = SCANNER.masked(&text);
        prop_assert_eq!(SCANNER.scan(&masked), None);
    }
}
