//! Which rows are wanted: `outcome=ok`, `width>=500`, `issues=blurry`, `duplicate_of=`.

use std::cmp::Ordering;
use std::str::FromStr;

use domain::{Issue, Outcome, ResultRow};
use jiff::Timestamp;
use pipeline::export::ExportError;

use crate::columns::{Cell, Column, Kind, Schema};

/// A condition as it was said, its column not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    column: String,
    relation: Relation,
    /// Alternatives, of which one has to hold (of `!=`: none may).
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// The longer ones first, of which the others are a part.
const RELATIONS: &[(&str, Relation)] = &[
    ("!=", Relation::NotEqual),
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("=", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::Greater),
];

impl FromStr for Condition {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, ExportError> {
        let found = RELATIONS
            .iter()
            .filter_map(|(sign, relation)| Some((text.find(sign)?, *sign, *relation)))
            // Stable: of several that begin at one place, the longest.
            .min_by_key(|(place, ..)| *place);
        let Some((place, sign, relation)) = found.filter(|(place, ..)| *place > 0) else {
            return Err(ExportError::Request(format!(
                "{text:?} is no condition; one looks like outcome=ok, issues!=blurry, width>=500 or duplicate_of= (is empty)"
            )));
        };
        let values = &text[place + sign.len()..];
        let condition = Self {
            column: text[..place].trim().to_owned(),
            relation,
            values: values.split('|').map(|one| one.trim().to_owned()).collect(),
        };
        condition.check_names()?;
        Ok(condition)
    }
}

impl Condition {
    /// Names that are known whatever the batch.
    fn check_names(&self) -> Result<(), ExportError> {
        for value in self.values.iter().filter(|value| !value.is_empty()) {
            let wrong = match self.column.as_str() {
                "outcome" => value
                    .parse::<Outcome>()
                    .err()
                    .map(|error| error.to_string()),
                "issues" => value.parse::<Issue>().err().map(|error| error.to_string()),
                _ => None,
            };
            if let Some(wrong) = wrong {
                return Err(ExportError::Request(wrong));
            }
        }
        Ok(())
    }

    /// The condition on the rows of a table with these columns.
    fn on(&self, schema: &Schema) -> Result<Test, ExportError> {
        let column = schema.column(&self.column)?.clone();
        let is_comparison = !matches!(self.relation, Relation::Equal | Relation::NotEqual);
        if is_comparison && !column.kind.is_ordered() {
            return Err(ExportError::Request(format!(
                "{} holds {}, which is neither smaller nor greater than anything; use = or !=",
                column.name,
                column.kind.as_str()
            )));
        }
        let values = self.values.iter().map(|text| Wanted::of(text, &column));
        let values: Vec<Wanted> = values.collect::<Result<_, _>>()?;
        if is_comparison && values.iter().any(|value| matches!(value, Wanted::Empty)) {
            let name = &self.column;
            return Err(ExportError::Request(format!(
                "the condition on {name} has no value to compare with"
            )));
        }
        Ok(Test {
            column,
            relation: self.relation,
            values,
        })
    }
}

/// A value to compare with, read as the column's kind.
enum Wanted {
    Empty,
    Text(String),
    Number(f64),
    Bool(bool),
    Time(Timestamp),
}

impl Wanted {
    fn of(text: &str, column: &Column) -> Result<Self, ExportError> {
        if text.is_empty() {
            return Ok(Self::Empty);
        }
        let wanted = match column.kind {
            Kind::Text | Kind::List | Kind::Json => Some(Self::Text(text.to_owned())),
            Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Float => {
                text.parse().ok().map(Self::Number)
            }
            Kind::Bool => text.parse().ok().map(Self::Bool),
            Kind::Time => text.parse().ok().map(Self::Time),
        };
        wanted.ok_or_else(|| {
            let example = match column.kind {
                Kind::Bool => "true or false",
                Kind::Time => "an instant such as 2026-01-31T12:00:00Z",
                _ => "a number",
            };
            ExportError::Request(format!(
                "{text:?} cannot be compared with {}: that takes {example}",
                column.name
            ))
        })
    }

    /// How a cell compares; `None` where nothing can be said.
    fn compare(&self, cell: &Cell<'_>) -> Option<Ordering> {
        let equal = |is: bool| is.then_some(Ordering::Equal);
        match (self, cell) {
            (Self::Empty, Cell::Null) => equal(true),
            (Self::Empty, Cell::List(texts)) => equal(texts.is_empty()),
            (Self::Empty, Cell::Text(text)) => equal(text.is_empty()),
            (Self::Text(wanted), Cell::Text(text)) => equal(text == wanted),
            (Self::Text(wanted), Cell::List(texts)) => {
                equal(texts.iter().any(|text| text == wanted))
            }
            (Self::Number(wanted), Cell::Integer(number)) => (*number as f64).partial_cmp(wanted),
            (Self::Number(wanted), Cell::Float(number)) => {
                // As the number is written: 0.3 is the nearest that 32 bits have.
                f64::from(*number).partial_cmp(&f64::from(*wanted as f32))
            }
            (Self::Bool(wanted), Cell::Bool(value)) => equal(value == wanted),
            (Self::Time(wanted), Cell::Time(time)) => Some(time.cmp(wanted)),
            _ => None,
        }
    }
}

/// A condition that rows can be held against.
struct Test {
    column: Column,
    relation: Relation,
    values: Vec<Wanted>,
}

impl Test {
    fn holds(&self, row: &ResultRow) -> bool {
        let cell = self.column.cell(row);
        let any = |holds: fn(Ordering) -> bool| {
            let mut compared = self.values.iter().map(|value| value.compare(&cell));
            compared.any(|ordering| ordering.is_some_and(holds))
        };
        match self.relation {
            Relation::Equal => any(Ordering::is_eq),
            Relation::NotEqual => !any(Ordering::is_eq),
            Relation::Less => any(Ordering::is_lt),
            Relation::AtMost => any(Ordering::is_le),
            Relation::Greater => any(Ordering::is_gt),
            Relation::AtLeast => any(Ordering::is_ge),
        }
    }
}

/// Conditions, all of which a row has to meet.
#[derive(Default)]
pub struct Conditions(Vec<Test>);

impl Conditions {
    /// `conditions` on the rows of a table with these columns.
    pub fn on(schema: &Schema, conditions: &[Condition]) -> Result<Self, ExportError> {
        let tests = conditions.iter().map(|condition| condition.on(schema));
        Ok(Self(tests.collect::<Result<_, _>>()?))
    }

    /// Whether `row` meets them.
    pub fn hold(&self, row: &ResultRow) -> bool {
        self.0.iter().all(|test| test.holds(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::row;

    fn holds(condition: &str, row: &ResultRow) -> bool {
        let schema = Schema::of(&[], std::slice::from_ref(row));
        let condition = condition.parse().unwrap();
        Conditions::on(&schema, &[condition]).unwrap().hold(row)
    }

    #[test]
    fn conditions_hold_of_rows_that_meet_them() {
        let mut row = row(7, r#"{"sku":"a=b"}"#);
        row.width = Some(500);
        row.contrast = Some(0.3);
        row.has_alpha = Some(false);
        row.fetched_at = Some("2026-01-31T12:00:00Z".parse().unwrap());
        row.issues = vec![Issue::Blurry, Issue::Dark];
        let met = [
            "outcome=ok",
            "outcome!=timeout|not_found",
            "outcome=timeout|ok",
            "width=500",
            "width>=500",
            "width<=500",
            "width<501",
            "width>499",
            "width!=",
            "height=",
            "contrast=0.3",
            "contrast>=0.3",
            "has_alpha=false",
            "issues=blurry",
            "issues!=small",
            "issues=small|dark",
            "issues!=",
            "palette=",
            "extra_sku=a=b",
            "fetched_at<2026-02-01T00:00:00Z",
            "fetched_at=2026-01-31T12:00:00Z",
        ];
        for condition in met {
            assert!(holds(condition, &row), "{condition}");
        }
        let unmet = [
            "outcome!=ok",
            "width>500",
            "width<500",
            "width=",
            "height>0",
            "height<=9",
            "issues!=dark",
            "issues=",
            "extra_sku=a",
            "fetched_at>=2026-02-01T00:00:00Z",
            "contrast<0.3",
        ];
        for condition in unmet {
            assert!(!holds(condition, &row), "{condition}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        let cases = [
            ("ok", "is no condition"),
            ("=ok", "is no condition"),
            ("outcome=okay", "okay"),
            ("issues=blury", "blury"),
            ("widht=5", "no column \"widht\""),
            ("width>wide", "takes a number"),
            ("width>", "no value to compare with"),
            ("url>a", "neither smaller nor greater"),
            ("has_alpha=maybe", "true or false"),
            ("fetched_at>yesterday", "an instant"),
        ];
        let schema = Schema::of(&[], &[]);
        for (text, said) in cases {
            let condition = text.parse::<Condition>();
            let checked = condition.and_then(|one| Conditions::on(&schema, &[one]).map(drop));
            let error = checked.expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
