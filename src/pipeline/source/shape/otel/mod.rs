//! Spans of OpenTelemetry: out of whatever envelope they came in, with one form for what the dialects say differently.
//!
//! Rests on nothing but the values. The row is `{spans}`. Envelopes: OTLP JSON as a collector writes it, spans as the
//! SDKs print them (`startTime: [s, ns]`, `start_time: "…"`), arrays and maps of them, and bare attribute maps. Dialects:
//! OpenTelemetry `GenAI` with its older names, `OpenInference`, and the `ai.*` attributes of the Vercel AI SDK. `attributes`
//! undoes their flattening, `messages` reads conversations.
//!
//! Invariants: every attribute of a span is in the row, whatever else was made of it; a figure or a verdict that no
//! attribute states is null; what is no span is counted, not guessed at.

mod attributes;
mod messages;

use crate::base::json::Value;
use crate::record::RecordedAt;
use crate::record::parse_time;

use self::attributes::Tree;
use super::Notes;
use super::Refusal;
use super::Shaped;
use super::Text;
use super::object;
use super::word;

/// See [`super::Shape::version`].
pub(super) const VERSION: u32 = 1;

/// How deep arrays and maps of spans may nest around them.
const ENVELOPES_MAX: usize = 8;

/// What stands around a span.
#[derive(Clone, Default)]
struct Around<'t> {
    resource: Option<Value<'t>>,
    scope: Option<Value<'t>>,
}

/// The normal form of a unit that holds spans.
pub(super) fn shape<'t>(canonical: &'t [u8], texts: &[Text]) -> Result<Shaped<'t>, Refusal> {
    let mut notes = Notes::default();
    let mut spans = Vec::new();
    for text in texts {
        if let Some(error) = text.error {
            let detail = format!("line {}; with unit = \"line\" it alone would be refused", text.line);
            return Err((error.as_str(), detail));
        }
        let value =
            Value::parse(&canonical[text.place.clone()]).map_err(|e| (e.code.as_str(), e.to_string()))?;
        let before = spans.len();
        collect(&value, &Around::default(), 0, &mut spans);
        if spans.len() == before {
            notes.add("value without spans");
        }
    }
    for span in &spans {
        notes.add_word("span of kind", span.get("kind").and_then(Value::as_str).unwrap_or_default());
    }
    Ok(Shaped { value: object([("spans", Value::Array(spans))]), noted: notes })
}

/// Goes through envelopes to the spans in `value`.
fn collect<'t>(value: &Value<'t>, around: &Around<'t>, depth: usize, spans: &mut Vec<Value<'t>>) {
    if depth > ENVELOPES_MAX {
        return;
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| collect(item, around, depth + 1, spans));
        return;
    }
    if !matches!(value, Value::Object(_)) {
        return;
    }
    let first = |names: &[&str]| names.iter().find_map(|name| value.get(name));
    if let Some(inner) = first(&["resourceSpans", "resource_spans"]) {
        collect(inner, around, depth + 1, spans);
        return;
    }
    if let Some(inner) = first(&["scopeSpans", "scope_spans", "instrumentationLibrarySpans"])
        .filter(|v| v.as_array().is_some())
    {
        let resource = value.get("resource").and_then(|r| r.get("attributes")).map(attributes::tree);
        collect(inner, &Around { resource, scope: None }, depth + 1, spans);
        return;
    }
    if let Some(inner) = value.get("spans").filter(|inner| inner.as_array().is_some()) {
        let scope = value.get("scope").and_then(|scope| scope.get("name")).cloned();
        collect(inner, &Around { scope, ..around.clone() }, depth + 1, spans);
        return;
    }
    let named = first(&["spanContext", "context", "spanId", "span_id", "name"]).is_some();
    if named && value.get("attributes").is_some_and(|a| matches!(a, Value::Object(_) | Value::Array(_))) {
        spans.push(span(value, around));
    } else if attributes::is_bare(value) {
        let around = around.clone();
        spans.push(span(&object([("attributes", value.clone())]), &around));
    } else {
        // A map of spans by some name; anything else has none in it.
        value.iter_members().for_each(|(_, inner)| collect(inner, around, depth + 1, spans));
    }
}

/// One span in its normal form.
fn span<'t>(span: &Value<'t>, around: &Around<'t>) -> Value<'t> {
    let at = |path: &[&str]| path.iter().try_fold(span, |value, name| value.get(name));
    let first = |paths: &[&[&str]]| paths.iter().find_map(|path| word(at(path))).map(str::to_owned);
    let tree = at(&["attributes"]).map_or(Value::Null, attributes::tree);
    let attributes = Tree(&tree);
    let time = |names: &[&str]| names.iter().find_map(|name| instant(span.get(name)?));
    let started = time(&["startTimeUnixNano", "start_time_unix_nano", "startTime", "start_time"]);
    let ended = time(&["endTimeUnixNano", "end_time_unix_nano", "endTime", "end_time"]);
    let latency = started.as_ref().zip(ended.as_ref()).and_then(|(from, to)| {
        let nanos = (to.instant - from.instant).num_nanoseconds()?;
        // Durations of spans lie far below 2^53 ns, about a hundred days.
        #[expect(clippy::cast_precision_loss, reason = "exact below a hundred days")]
        (nanos >= 0).then(|| Value::from_f64(nanos as f64 / 1e6)).flatten()
    });
    let events: Vec<Value<'t>> = (at(&["events"]).and_then(Value::as_array).unwrap_or_default().iter())
        .map(|event| {
            object([
                ("name", event.get("name").cloned().unwrap_or(Value::Null)),
                ("attributes", event.get("attributes").map_or(Value::Null, attributes::tree)),
            ])
        })
        .collect();
    let exception = events
        .iter()
        .filter_map(|event| event.get("attributes")?.get("exception"))
        .find_map(|e| word(e.get("type")).or_else(|| word(e.get("message"))))
        .map(str::to_owned);
    let ids = |names: &[&[&str]]| first(names).map(|id| id.trim_start_matches("0x").to_owned());
    let (input, output) = messages::conversation(attributes, &events);
    let evaluations = evaluations(attributes, &events);
    let resource = around
        .resource
        .clone()
        .or_else(|| at(&["resource", "attributes"]).or_else(|| at(&["resource"])).map(attributes::tree));
    object([
        (
            "trace_id",
            Value::from(ids(&[
                &["traceId"],
                &["trace_id"],
                &["spanContext", "traceId"],
                &["context", "trace_id"],
            ])),
        ),
        (
            "span_id",
            Value::from(ids(&[
                &["spanId"],
                &["span_id"],
                &["spanContext", "spanId"],
                &["context", "span_id"],
            ])),
        ),
        (
            "parent_id",
            Value::from(ids(&[&["parentSpanId"], &["parent_id"], &["parentSpanContext", "spanId"]])),
        ),
        ("name", at(&["name"]).cloned().unwrap_or(Value::Null)),
        ("kind", Value::from(kind(attributes))),
        ("dialect", Value::from(dialect(attributes))),
        ("started_at", Value::from(started.map(|at| at.text))),
        ("latency_ms", Value::from(latency)),
        ("status", Value::from(status(span))),
        (
            "status_message",
            Value::from(first(&[&["status", "message"], &["status", "description"], &["status_message"]])),
        ),
        ("exception", Value::from(exception)),
        ("attributes", tree.clone()),
        ("events", Value::Array(events)),
        ("resource", Value::from(resource)),
        ("scope", Value::from(around.scope.clone())),
        ("input", Value::Array(input)),
        ("output", Value::Array(output)),
        ("evaluations", Value::Array(evaluations)),
    ])
}

/// `[seconds, nanoseconds]`, nanoseconds since 1970 as a number or its digits, or what any time field takes.
fn instant(value: &Value<'_>) -> Option<RecordedAt> {
    /// Later than any time in microseconds that is in use, earlier than any in nanoseconds.
    const NANOSECONDS_FROM: i128 = 100_000_000_000_000_000;
    let digits = match value {
        Value::Array(pair) => match pair.as_slice() {
            [seconds, nanos] => {
                let (seconds, nanos) = (seconds.as_u64()?, nanos.as_u64()?);
                return parse_time(&Value::from(format!("{seconds}.{nanos:09}")).into_number()?);
            }
            _ => return None,
        },
        Value::String(digits) | Value::Number(digits) => digits,
        _ => return None,
    };
    match digits.parse::<i128>() {
        Ok(nanos) if nanos >= NANOSECONDS_FROM => {
            let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
            parse_time(&Value::from(text).into_number()?)
        }
        // Exporters that have no start write a zero.
        Ok(0) => None,
        Ok(_) => parse_time(&Value::from(digits.as_ref()).into_number()?),
        Err(_) => parse_time(value),
    }
}

trait IntoNumber {
    /// A string of digits as the number that they write.
    fn into_number(self) -> Option<Value<'static>>;
}

impl IntoNumber for Value<'_> {
    fn into_number(self) -> Option<Value<'static>> {
        match self.into_owned() {
            Value::String(digits) => Some(Value::Number(digits)),
            _ => None,
        }
    }
}

/// `ok`, `error` or `unset`; nothing where the span has no status.
fn status(span: &Value<'_>) -> Option<&'static str> {
    let status = span.get("status").or_else(|| span.get("status_code"))?;
    let code = ["code", "status_code"].iter().find_map(|name| status.get(name)).unwrap_or(status);
    let name = match code {
        Value::Number(number) => number.as_ref(),
        Value::String(name) => name.rsplit(['_', '.']).next().unwrap_or_default(),
        // OTLP leaves out what is unset.
        Value::Object(_) => "0",
        _ => return None,
    };
    match name.to_ascii_lowercase().as_str() {
        "1" | "ok" => Some("ok"),
        "2" | "error" => Some("error"),
        "0" | "unset" => Some("unset"),
        _ => None,
    }
}

/// Which conventions the attributes follow: the one that says most.
fn dialect(attributes: Tree<'_, '_>) -> Option<&'static str> {
    let has = |name: &str| attributes.at(name).is_some();
    if has("openinference") || has("llm") {
        Some("openinference")
    } else if has("gen_ai") {
        Some("gen_ai")
    } else if has("ai") {
        Some("ai")
    } else {
        None
    }
}

/// What the span is about, in the words of `OpenInference`, lower case: `llm`, `tool`, `agent`, `embedding`, … A span that
/// only wraps the call of a model is an `agent`; one that says nothing of models is `other`.
fn kind(attributes: Tree<'_, '_>) -> String {
    if let Some(kind) = attributes.word("openinference.span.kind") {
        return kind.to_lowercase();
    }
    let kind = match attributes.word("gen_ai.operation.name") {
        Some("chat" | "text_completion" | "generate_content") => "llm",
        Some("embeddings") => "embedding",
        Some("execute_tool") => "tool",
        Some("invoke_agent" | "create_agent" | "invoke_workflow") => "agent",
        Some("retrieval") => "retriever",
        Some(_) => "other",
        None => match attributes.word("ai.operationId") {
            Some(id) if id.starts_with("ai.toolCall") => "tool",
            Some(id) if id.starts_with("ai.embed") => "embedding",
            Some(id) if id.contains(".do") => "llm",
            Some(_) => "agent",
            None if attributes.at("gen_ai.evaluation").is_some() => "evaluator",
            None if attributes.at("gen_ai.request.model").is_some() => "llm",
            None if attributes.at("llm.model_name").is_some() => "llm",
            None => "other",
        },
    };
    kind.to_owned()
}

/// What judges said of the span: annotations and evaluations as attributes, and evaluation results as events.
fn evaluations<'t>(attributes: Tree<'_, 't>, events: &[Value<'t>]) -> Vec<Value<'t>> {
    let mut found = Vec::new();
    for (many, one) in [("annotations", "annotation"), ("evaluations", "evaluation")] {
        let each = attributes.at(many).and_then(Value::as_array).unwrap_or_default();
        found.extend(each.iter().map(|item| item.get(one).unwrap_or(item)).map(evaluation));
        found.extend(attributes.at(one).filter(|one| one.get("name").is_some()).map(evaluation));
    }
    let own = attributes.at("gen_ai.evaluation");
    let of_event = |event: &Value<'t>| Tree(event.get("attributes")?).at("gen_ai.evaluation").cloned();
    for result in own.cloned().into_iter().chain(events.iter().filter_map(of_event)) {
        let score = |name: &str| result.get("score").and_then(|score| score.get(name));
        found.push(evaluation(&object([
            ("name", result.get("name").cloned().unwrap_or(Value::Null)),
            ("label", score("label").cloned().unwrap_or(Value::Null)),
            ("score", score("value").cloned().unwrap_or(Value::Null)),
            ("explanation", result.get("explanation").cloned().unwrap_or(Value::Null)),
        ])));
    }
    found
}

fn evaluation<'t>(value: &Value<'t>) -> Value<'t> {
    let text = |name: &str| {
        value
            .get(name)
            .filter(|v| matches!(v, Value::String(_) | Value::Number(_)))
            .cloned()
            .unwrap_or(Value::Null)
    };
    object([
        ("name", text("name")),
        ("label", text("label")),
        ("score", text("score")),
        ("explanation", text("explanation")),
        ("by", text("identifier")),
        ("kind", Value::from(word(value.get("annotator_kind")).map(str::to_lowercase))),
    ])
}
