//! What users did, and what may be done next. Preconditions keep a sequence legal while it is shrunk: nobody edits what
//! nobody made, nothing goes on that was never begun.

use std::collections::BTreeSet;

use model::Side;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// A record as its users know it.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    pub(crate) side: Side,
    /// The sum of all increments.
    pub(crate) n: i64,
    /// Every member added.
    pub(crate) members: BTreeSet<String>,
}

/// The oracle's ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) things: Vec<Thing>,
    /// Texts typed so far: every one is typed once.
    typed: BTreeSet<u32>,
    /// Steps begun: an upper bound of what can go on.
    begun: usize,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meets {
    Answer,
    NoAnswer,
    Delay,
    Nothing,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A user makes a record.
    Create(Side),
    /// A user types a text into a field: 0 `a`, 1 `b`, 2 `w`.
    Type { thing: usize, side: Side, field: usize, text: u32 },
    /// A user adds to `n`.
    Increment { thing: usize, side: Side, by: i64 },
    /// A user adds a member to the set.
    Add { thing: usize, side: Side, member: u32 },
    /// What SuiteX captured is published and taken in, to the end.
    Hear,
    /// Messages of SuiteX and of ours are published.
    Relay,
    /// Intake begins.
    Intake,
    /// A merge step begins.
    Merge,
    /// A write step begins, for what is rung or due; its request meets this.
    Write(Side, Meets),
    /// A recovery begins.
    Recover(Side),
    /// A sweep begins.
    Sweep,
    /// A late request lands.
    Land,
    /// Time passes.
    Pass(i64),
    /// A step that was begun goes on, so many points.
    Go { step: usize, points: usize },
    /// A step that was begun is killed.
    Kill(usize),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Suitex), Just(Side::Netsuite)]
}

impl ReferenceStateMachine for Known {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let things = state.things.len().max(1);
        let meets = prop_oneof![
            4 => Just(Meets::Answer),
            1 => Just(Meets::NoAnswer),
            1 => Just(Meets::Delay),
            1 => Just(Meets::Nothing)
        ];
        let if_new = if state.things.is_empty() { 40 } else { 1 };
        prop_oneof![
            if_new => side().prop_map(Step::Create),
            4 => (0..things, side(), 0..3_usize, any::<u32>())
                .prop_map(|(thing, side, field, text)| Step::Type { thing, side, field, text }),
            2 => (0..things, side(), 1..4_i64).prop_map(|(thing, side, by)| Step::Increment { thing, side, by }),
            2 => (0..things, side(), any::<u32>()).prop_map(|(thing, side, member)| Step::Add { thing, side, member }),
            6 => Just(Step::Hear),
            2 => Just(Step::Relay),
            2 => Just(Step::Intake),
            4 => Just(Step::Merge),
            3 => (side(), meets).prop_map(|(side, meets)| Step::Write(side, meets)),
            1 => side().prop_map(Step::Recover),
            1 => Just(Step::Sweep),
            1 => Just(Step::Land),
            4 => prop_oneof![Just(1), Just(3), Just(40)].prop_map(Step::Pass),
            14 => (0..3_usize, 1..7_usize).prop_map(|(step, points)| Step::Go { step, points }),
            1 => (0..3_usize).prop_map(Step::Kill),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Create(_) => state.things.len() < 3,
            Step::Type { thing, text, .. } => *thing < state.things.len() && !state.typed.contains(text),
            Step::Increment { thing, .. } => *thing < state.things.len(),
            Step::Add { thing, member, .. } => *thing < state.things.len() && !state.typed.contains(member),
            Step::Go { .. } | Step::Kill(_) => state.begun > 0,
            Step::Intake | Step::Merge | Step::Write(..) | Step::Recover(_) | Step::Sweep => true,
            Step::Hear | Step::Relay | Step::Land | Step::Pass(_) => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match step {
            Step::Create(side) => state.things.push(Thing { side: *side, n: 0, members: BTreeSet::new() }),
            Step::Type { text, .. } => {
                state.typed.insert(*text);
            }
            Step::Increment { thing, by, .. } => state.things[*thing].n += by,
            Step::Add { thing, member, .. } => {
                state.typed.insert(*member);
                state.things[*thing].members.insert(format!("u{member}"));
            }
            Step::Intake | Step::Merge | Step::Write(..) | Step::Recover(_) | Step::Sweep => state.begun += 1,
            Step::Hear | Step::Relay | Step::Land | Step::Pass(_) | Step::Go { .. } | Step::Kill(_) => {}
        }
        state
    }
}
