//! Text in columns: wrapped to a width, side by side where there is room and one below the other where there is not.
//!
//! Rests on nothing. Invariants: no line is wider than was asked for; nothing that a row holds reaches the terminal as a
//! control character; styles take no room.

use crate::cli::ui::{Style, Ui};

/// The least width at which two columns are set side by side.
pub(super) const SIDE_BY_SIDE: usize = 100;

const BETWEEN: &str = " │ ";

/// A piece of text that may become several lines.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Columns before its first line.
    pub(super) indent: usize,
    /// A mark of one column in the margin, or a space.
    pub(super) mark: char,
    pub(super) text: String,
    pub(super) style: Option<Style>,
}

impl Piece {
    pub(super) fn new(indent: usize, text: impl Into<String>) -> Self {
        Self { indent, mark: ' ', text: text.into(), style: None }
    }

    pub(super) const fn styled(mut self, style: Style) -> Self {
        self.style = Some(style);
        self
    }

    pub(super) const fn marked(mut self, mark: char) -> Self {
        self.mark = mark;
        self
    }

    /// Its lines: mark, a space, the indent and the text; later ones are indented two columns more.
    fn lines(&self, width: usize) -> Vec<String> {
        // However narrow it is, most of it is for the text.
        let before = 2 + self.indent.min(width / 4);
        let room = width.saturating_sub(before);
        let mut lines = Vec::new();
        let mut rest = visible(&self.text);
        while !rest.is_empty() || lines.is_empty() {
            let first = lines.is_empty();
            let hanging = if first { 0 } else { 2 };
            let cut = cut(&rest, room.saturating_sub(hanging).max(1));
            let tail = rest.split_off(cut);
            let mark = if first { self.mark } else { ' ' };
            lines.push(format!("{mark}{}{}", " ".repeat(before - 1 + hanging), rest.trim_end()));
            tail.trim_start_matches(' ').clone_into(&mut rest);
        }
        lines
    }
}

/// Both columns, side by side from [`SIDE_BY_SIDE`] columns on, else one below the other.
pub(super) fn render(ui: &Ui, left: &[Piece], right: &[Piece], width: usize) -> String {
    let mut out = String::new();
    let paint = |text: &str, style: Option<Style>| match style {
        Some(style) => ui.paint(style, text),
        None => text.to_owned(),
    };
    let set = |pieces: &[Piece], width: usize| -> Vec<(String, Option<Style>)> {
        let each = pieces.iter().flat_map(|p| p.lines(width).into_iter().map(|line| (line, p.style)));
        each.collect()
    };
    if width < SIDE_BY_SIDE || left.is_empty() || right.is_empty() {
        for (line, style) in set(left, width).into_iter().chain(set(right, width)) {
            out.push_str(paint(line.trim_end(), style).as_str());
            out.push('\n');
        }
        return out;
    }
    let each = (width - BETWEEN.chars().count()) / 2;
    let (left, right) = (set(left, each), set(right, each));
    for at in 0..left.len().max(right.len()) {
        let (text, style) = left.get(at).map_or(("", None), |(text, style)| (text.as_str(), *style));
        let pad = " ".repeat(each.saturating_sub(columns(text)));
        let mut line = format!("{}{pad}{}", paint(text, style), ui.paint(Style::Dim, BETWEEN));
        if let Some((text, style)) = right.get(at) {
            line.push_str(&paint(text, *style));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Where to cut `text` so that it fits: behind a space in its later half, or in the middle of a word.
fn cut(text: &str, room: usize) -> usize {
    let mut taken = 0;
    let mut space = None;
    for (at, c) in text.char_indices() {
        taken += char_columns(c);
        if taken > room {
            let hard = if at == 0 { c.len_utf8() } else { at };
            return space.filter(|space| *space * 2 > hard).unwrap_or(hard);
        }
        if c == ' ' {
            space = Some(at + 1);
        }
    }
    text.len()
}

/// Text as a terminal may see it: control characters, and those that turn the direction of writing, as escapes.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push(' '),
            c if c.is_control() || turns => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Columns that a line takes on a terminal.
fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// 0 for what stands on the character before it, 2 for the wide letters of East Asia and for pictures.
const fn char_columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ui::Manners;

    #[test]
    fn no_line_is_wider_than_asked_for_and_no_word_is_lost() {
        let text =
            "one two 長い名前 three four-and-a-very-long-word-without-a-space five\u{1b}[31m six\nseven";
        for width in [8, 20, 33, 60] {
            let lines = Piece::new(4, text).marked('○').lines(width);
            assert!(lines.iter().all(|line| columns(line) <= width), "{width}: {lines:?}");
            let kept = |s: &str| s.chars().filter(|c| !matches!(c, ' ' | '○')).collect::<String>();
            assert_eq!(kept(&lines.concat()), kept(&visible(text)), "{width}");
        }
        assert_eq!(visible("\u{1b}[31m\u{202e}x\u{9b}"), "\\u{1b}[31m\\u{202e}x\\u{9b}");
    }

    #[test]
    fn two_columns_when_there_is_room() {
        let ui = Ui::new(Manners::default(), true);
        let (left, right) = ([Piece::new(0, "left"), Piece::new(2, "x")], [Piece::new(0, "right")]);
        let wide = render(&ui, &left, &right, SIDE_BY_SIDE);
        let first: Vec<&str> = wide.lines().next().expect("a line").split(BETWEEN).collect();
        assert_eq!((first[0].trim(), first[1].trim(), wide.lines().count()), ("left", "right", 2));
        assert_eq!(render(&ui, &left, &right, SIDE_BY_SIDE - 1), "  left\n    x\n  right\n");
    }
}
