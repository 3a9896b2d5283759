//! The four verdicts of scoring, and the two of them that may reach a training corpus.
//!
//! Rests on serde alone. What always holds: a [`TrainableCategory`] is `accepted` or `partially_accepted`; no other
//! value can be built, converted or parsed into one. This is the first of the three layers of the SFT firewall.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What scoring decided about one piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Good as it is.
    Accepted,
    /// Good in part.
    PartiallyAccepted,
    /// Not good.
    Rejected,
    /// The rules cannot tell; a person has to.
    NeedsHumanReview,
}

impl Category {
    /// All four, in the order of reports.
    pub const ALL: [Self; 4] =
        [Self::Accepted, Self::PartiallyAccepted, Self::Rejected, Self::NeedsHumanReview];

    /// The text that stands in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::PartiallyAccepted => "partially_accepted",
            Self::Rejected => "rejected",
            Self::NeedsHumanReview => "needs_human_review",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A category that a training corpus may hold. It has no variant for the others, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainableCategory {
    /// Good as it is.
    Accepted,
    /// Good in part.
    PartiallyAccepted,
}

/// A category that must not reach a training corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("category `{0}` must not reach a training corpus")]
pub struct NotTrainable(pub Category);

impl TryFrom<Category> for TrainableCategory {
    type Error = NotTrainable;
    fn try_from(category: Category) -> Result<Self, NotTrainable> {
        match category {
            Category::Accepted => Ok(Self::Accepted),
            Category::PartiallyAccepted => Ok(Self::PartiallyAccepted),
            Category::Rejected | Category::NeedsHumanReview => Err(NotTrainable(category)),
        }
    }
}

impl From<TrainableCategory> for Category {
    fn from(category: TrainableCategory) -> Self {
        match category {
            TrainableCategory::Accepted => Self::Accepted,
            TrainableCategory::PartiallyAccepted => Self::PartiallyAccepted,
        }
    }
}

impl fmt::Display for TrainableCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Category::from(*self).fmt(f)
    }
}

/// How many scored runs there are of each category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryCounts {
    /// Scored runs that are accepted.
    pub accepted: u64,
    /// Scored runs that a person has to look at.
    pub needs_human_review: u64,
    /// Scored runs that are accepted in part.
    pub partially_accepted: u64,
    /// Scored runs that are rejected.
    pub rejected: u64,
}

impl CategoryCounts {
    /// The count of one category.
    pub const fn get(&self, category: Category) -> u64 {
        match category {
            Category::Accepted => self.accepted,
            Category::PartiallyAccepted => self.partially_accepted,
            Category::Rejected => self.rejected,
            Category::NeedsHumanReview => self.needs_human_review,
        }
    }

    /// Counts one more scored run.
    pub const fn add(&mut self, category: Category) {
        let count = match category {
            Category::Accepted => &mut self.accepted,
            Category::PartiallyAccepted => &mut self.partially_accepted,
            Category::Rejected => &mut self.rejected,
            Category::NeedsHumanReview => &mut self.needs_human_review,
        };
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_categories_are_trainable() {
        let trainable: Vec<_> =
            Category::ALL.into_iter().filter(|c| TrainableCategory::try_from(*c).is_ok()).collect();
        assert_eq!(trainable, [Category::Accepted, Category::PartiallyAccepted]);
        assert_eq!(
            TrainableCategory::try_from(Category::Rejected),
            Err(NotTrainable(Category::Rejected)),
            "the error names what was refused"
        );
        for category in trainable {
            let narrow = TrainableCategory::try_from(category).expect("just filtered");
            assert_eq!(Category::from(narrow), category);
        }
    }

    #[test]
    fn forbidden_categories_cannot_be_parsed_as_trainable() {
        for category in Category::ALL {
            let text = format!("\"{category}\"");
            assert_eq!(serde_json::from_str::<Category>(&text).expect("its own text"), category);
            let narrow = serde_json::from_str::<TrainableCategory>(&text);
            assert_eq!(narrow.is_ok(), TrainableCategory::try_from(category).is_ok(), "{text}");
        }
    }

    #[test]
    fn counts_by_category() {
        let mut counts = CategoryCounts::default();
        for (n, category) in Category::ALL.into_iter().enumerate() {
            for _ in 0..=n {
                counts.add(category);
            }
        }
        assert_eq!(Category::ALL.map(|c| counts.get(c)), [1, 2, 3, 4]);
    }
}
