//! A suite: tasks in a file, one JSON object a line.
//!
//! Rests on JSON. Invariant: a line that is no task stops the suite before anything is asked, and is named by its number.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::ops::error::{ErrorKind, OpError};
use crate::ops::replay::Task;
use crate::pipeline::answer::Format;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    task: String,
    #[serde(default)]
    format: Format,
}

/// Reads the tasks of `text`; `file` names it in errors.
///
/// # Errors
/// The first line that is no task, an id that stands twice, a file without a task.
pub fn parse(file: &str, text: &str) -> Result<Vec<Task>, OpError> {
    const HINT: &str = "a task is a line such as {\"task\": \"Why does …?\", \"id\": \"t1\", \"format\": \"text\"}; \
                        id and format may be left out";
    let refused =
        |line: usize, why: String| OpError::new(ErrorKind::Usage, format!("{file}:{line}: {why}"), HINT);
    let mut tasks = Vec::new();
    let mut ids = BTreeSet::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read: Line = serde_json::from_str(line).map_err(|error| refused(n + 1, error.to_string()))?;
        if read.task.trim().is_empty() {
            return Err(refused(n + 1, "the task is empty".to_owned()));
        }
        let mut task = Task::new(&read.task, read.format);
        if let Some(id) = read.id {
            if id.trim().is_empty() {
                return Err(refused(n + 1, "the id is empty".to_owned()));
            }
            task.id = id;
        }
        if !ids.insert(task.id.clone()) {
            return Err(refused(n + 1, format!("the task `{}` stands there twice", task.id)));
        }
        tasks.push(task);
    }
    if tasks.is_empty() {
        return Err(OpError::new(ErrorKind::Usage, format!("{file} holds no task"), HINT));
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_read_line_by_line() {
        let text = "{\"task\":\"Why?\"}\n\n{\"id\":\"two\",\"task\":\"List them\",\"format\":\"list\"}\n";
        let tasks = parse("s.jsonl", text).expect("a suite");
        assert_eq!(tasks[0], Task::new("Why?", Format::Text));
        assert_eq!((tasks[1].id.as_str(), tasks[1].format), ("two", Format::List));
    }

    #[test]
    fn what_is_no_task_is_named_by_its_line() {
        for (text, part) in [
            ("{\"task\":\"a\"}\n{\"tusk\":\"b\"}", "s.jsonl:2: unknown field `tusk`"),
            ("{\"task\":\" \"}", "s.jsonl:1: the task is empty"),
            ("{\"task\":\"a\"}\n{\"task\":\"a\"}", "s.jsonl:2: the task `task-"),
            ("{\"task\":\"a\",\"format\":\"prose\"}", "s.jsonl:1"),
            ("\n", "holds no task"),
        ] {
            let error = parse("s.jsonl", text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
