//! The gate that all exporters share against credentials, and against model output that would be trained on again.
//!
//! Rests on the scanner. What always holds: a text is looked through at most once for each record, and only when a row
//! would hold it; what is refused is named by field and rule, and masked.

use std::cell::OnceCell;

use super::{Refusal, SECRET_SUSPECTED};
use crate::base::json::RawJson;
use crate::pipeline::secret::{Finding, Scanner};
use crate::record::EvidenceRecord;

/// One record before the scanner.
pub struct Screen<'a> {
    scanner: &'a Scanner,
    evidence: &'a EvidenceRecord,
    admits_synthetic: bool,
    row: OnceCell<Option<Refusal>>,
    conversation: OnceCell<Option<Refusal>>,
}

impl<'a> Screen<'a> {
    /// Nothing is looked through yet.
    pub const fn new(scanner: &'a Scanner, evidence: &'a EvidenceRecord) -> Self {
        Self {
            scanner,
            evidence,
            admits_synthetic: false,
            row: OnceCell::new(),
            conversation: OnceCell::new(),
        }
    }

    /// The same, where the rule that decided on the record says whether it may enter although it is synthetic.
    #[must_use]
    pub fn admitting_synthetic(mut self, admits: bool) -> Self {
        self.admits_synthetic = admits;
        self
    }

    /// Whether the record is model output that was made with the help of a corpus, and nothing lets it in.
    pub(super) const fn is_synthetic(&self) -> bool {
        self.evidence.synthetic_depth > 0 && !self.admits_synthetic
    }

    /// What every row holds: instruction, response, and what names them.
    ///
    /// # Errors
    /// The refusal, where a credential is suspected.
    pub fn row(&self) -> Result<(), Refusal> {
        let refusal = self.row.get_or_init(|| {
            let evidence = self.evidence;
            let named = [
                ("instruction", evidence.instruction.as_deref()),
                ("response", evidence.response.as_deref()),
                ("run_id", evidence.run_id.as_deref()),
                ("key", Some(evidence.key.as_str())),
                ("provenance.source_file", Some(evidence.provenance.source_file.as_str())),
            ];
            let mut named = named.into_iter().filter_map(|(field, text)| Some((field, text?)));
            let found = named.find_map(|(field, text)| self.scan(field, text));
            found.or_else(|| {
                let mut tags = evidence.tags.iter().enumerate();
                tags.find_map(|(n, tag)| self.scan(&format!("tags[{n}]"), tag))
            })
        });
        refusal.clone().map_or(Ok(()), Err)
    }

    /// What a row holds besides that when it carries the whole conversation: context and messages.
    ///
    /// # Errors
    /// The refusal, where a credential is suspected.
    pub fn conversation(&self) -> Result<(), Refusal> {
        let refusal = self.conversation.get_or_init(|| {
            let context = self.evidence.context.as_deref();
            if let Some(found) = context.and_then(|text| self.scan("context", text)) {
                return Some(found);
            }
            for (n, message) in self.evidence.messages.iter().enumerate() {
                let texts = [
                    ("content", message.content.as_deref()),
                    ("name", message.name.as_deref()),
                    ("tool_call_id", message.tool_call_id.as_deref()),
                    ("role", Some(message.role.as_str())),
                ];
                for (field, text) in texts {
                    // Most of a conversation is what the row has as instruction or response, and was looked through.
                    let known = text == self.evidence.response.as_deref()
                        || text == self.evidence.instruction.as_deref();
                    if let Some(text) = text.filter(|_| !known)
                        && let Some(finding) = self.scanner.scan(text)
                    {
                        return Some(refusal(&format!("messages[{n}].{field}"), &finding));
                    }
                }
                for (m, call) in message.tool_calls.iter().enumerate() {
                    let object = call.arguments_object.as_ref().map(RawJson::as_str);
                    let texts = [
                        ("arguments", Some(call.arguments.as_str())),
                        // The same text, unless it is written otherwise there.
                        ("arguments_object", object.filter(|object| *object != call.arguments)),
                        ("name", Some(call.name.as_str())),
                        ("id", call.id.as_deref()),
                    ];
                    for (field, text) in texts {
                        if let Some(finding) = text.and_then(|text| self.scanner.scan(text)) {
                            return Some(refusal(
                                &format!("messages[{n}].tool_calls[{m}].{field}"),
                                &finding,
                            ));
                        }
                    }
                }
            }
            None
        });
        refusal.clone().map_or(Ok(()), Err)
    }

    fn scan(&self, field: &str, text: &str) -> Option<Refusal> {
        self.scanner.scan(text).map(|finding| refusal(field, &finding))
    }
}

fn refusal(field: &str, finding: &Finding) -> Refusal {
    let Finding { rule, forms, masked } = finding;
    let form = if forms.is_empty() { String::new() } else { format!(", in {}", forms.join(" in ")) };
    let detail = format!("`{field}` holds what looks like a credential: {rule}{form}: {masked}");
    Refusal { reason: SECRET_SUSPECTED, detail }
}
