//! What differs from run to run. One seed gives one variation and one schedule.

use model::spec::{DeletePolicy, LockScope};

/// The circumstances of one run (semantics §4).
#[derive(Debug, Clone, PartialEq)]
pub struct Vary {
    /// How much goes wrong, 0 to 1: kills, lost answers, late requests, duplicates, refusals for load.
    pub faults: f64,
    /// Share of user events that are never published.
    pub ue_drop: f64,
    /// Rows per page of a sweep.
    pub page: usize,
    /// Does the bus keep the order of a record's messages?
    pub ordered: bool,
    /// How far conflicts lock.
    pub lock: LockScope,
    /// When one side deletes what the other edits.
    pub delete: DeletePolicy,
    /// The same for lines.
    pub line_delete: DeletePolicy,
    /// Do gap-free deltas stand for reads?
    pub fast_delta: bool,
    /// Does SuiteX answer a write with the row as it stands after it?
    pub answer_rows: bool,
    /// Records made at the start, per account.
    pub records: usize,
    /// Accounts.
    pub accounts: usize,
    /// What users do in all.
    pub operations: usize,
    /// Do users delete records?
    pub deletes: bool,
    /// Do users make records on the way?
    pub creates: bool,
    /// Do orders that refer to things exist? (Then nobody deletes: a deletion NetSuite refuses needs a person.)
    pub references: bool,
    /// Are the first records in agreement before anything goes wrong?
    pub begin_agreed: bool,
    /// A change in NetSuite may carry a time this many seconds before it can be seen.
    pub late_seconds: i64,
    /// How far the sides' clocks stand ahead of ours, in microseconds.
    pub skew_micros: model::PerSide<i64>,
    /// Fields users edit; few fields make many collisions.
    pub fields: Vec<&'static str>,
    /// Share of writes on the way during which a user edits just what is being written.
    pub adversary: f64,
    /// Weight of late requests among all that may happen: small, and they outlive recovery.
    pub eager: u32,
    /// Chance that NetSuite's workflow changes a field beside the edited one, without a user event.
    pub workflow: f64,
    /// Is NetSuite written to by PATCH, with its system notes for a guard (semantics §2.9, guard 2)?
    pub patch: bool,
}

/// Which worlds are drawn. The circumstances are the same; what differs is how often each comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Everything the semantics ask to vary.
    #[default]
    Default,
    /// One account, one or two records, few operations: most mistakes show in the smallest world that has them.
    Small,
    /// Much goes wrong, few fields, many collisions, an adversary at every write.
    Hostile,
    /// NetSuite is written to by PATCH, with its system notes for a guard. Nobody deletes and nobody edits lines: a deletion
    /// leaves no note, and lines leave none that can be told from one another.
    Patch,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Default, Self::Small, Self::Hostile, Self::Patch];

    /// The word in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Small => "small",
            Self::Hostile => "hostile",
            Self::Patch => "patch",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == word)
    }

    /// The circumstances of the run with this random source.
    pub fn draw(self, rng: &mut fastrand::Rng) -> Vary {
        let mut vary = Vary::draw(rng);
        match self {
            Self::Default => {}
            Self::Small => {
                vary.accounts = 1;
                vary.records = 1 + rng.usize(..2);
                vary.operations = 2 + rng.usize(..7);
                vary.fields.truncate(2);
            }
            Self::Hostile => {
                vary.faults = if rng.bool() { 0.5 } else { 0.7 };
                vary.ue_drop = if rng.bool() { 0.6 } else { 1.0 };
                vary.ordered = false;
                vary.records = 1 + rng.usize(..2);
                vary.fields.truncate(1 + rng.usize(..2));
                vary.adversary = 0.5;
                vary.late_seconds = 5;
                vary.eager = if rng.bool() { 0 } else { 1 };
            }
            Self::Patch => {
                vary.patch = true;
                vary.deletes = false;
                vary.fields.retain(|name| *name != "lines");
                if vary.fields.is_empty() {
                    vary.fields.push("b");
                }
                vary.adversary = if rng.bool() { 0.5 } else { vary.adversary };
            }
        }
        vary
    }
}

/// Fields users of `thing` may edit; `g` stands for both members of the group.
const FIELDS: [&str; 10] = ["a", "b", "w", "m", "n", "s", "p", "f", "g", "lines"];

impl Vary {
    /// The circumstances of the run with this random source.
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        fn pick<T: Copy>(rng: &mut fastrand::Rng, from: &[T]) -> T {
            from[rng.usize(..from.len())]
        }
        let policies = [DeletePolicy::DeleteWins, DeletePolicy::UpdateWins, DeletePolicy::Manual];
        let mut fields = FIELDS.to_vec();
        rng.shuffle(&mut fields);
        fields.truncate(1 + rng.usize(..4));
        let references = rng.f64() < 0.2;
        Self {
            faults: pick(rng, &[0.0, 0.1, 0.3, 0.5]),
            ue_drop: pick(rng, &[0.0, 0.2, 0.6, 1.0]),
            page: pick(rng, &[1, 2, 3]),
            ordered: rng.bool(),
            lock: pick(rng, &[LockScope::Record, LockScope::Field]),
            delete: pick(rng, &policies),
            // A line over which people must decide is a conflict on the whole sublist: rare, and kept rare here.
            line_delete: pick(rng, &[DeletePolicy::DeleteWins, DeletePolicy::UpdateWins]),
            fast_delta: rng.bool(),
            answer_rows: rng.bool(),
            records: 1 + rng.usize(..3),
            accounts: if rng.f64() < 0.25 { 2 } else { 1 },
            operations: 3 + rng.usize(..23),
            deletes: !references && rng.f64() < 0.4,
            creates: rng.f64() < 0.4,
            references,
            begin_agreed: rng.f64() < 0.8,
            late_seconds: pick(rng, &[0, 0, 2, 5]),
            skew_micros: model::PerSide {
                suitex: pick(rng, &[0, 700_000, -3_000_000]),
                netsuite: pick(rng, &[0, -400_000, 90_000_000]),
            },
            fields,
            adversary: pick(rng, &[0.0, 0.2, 0.5]),
            eager: pick(rng, &[0, 1, 5, 20]),
            workflow: pick(rng, &[0.0, 0.0, 0.2]),
            patch: false,
        }
    }

    /// Nothing goes wrong by itself, and only the poller hears of NetSuite.
    pub fn no_user_events() -> Self {
        Self { ue_drop: 1.0, ..Self::calm() }
    }

    /// Nothing goes wrong by itself, and NetSuite is written to by PATCH.
    pub fn by_patch() -> Self {
        Self { patch: true, ..Self::calm() }
    }

    /// Nothing goes wrong, one account, every field: for directed scenarios.
    pub fn calm() -> Self {
        Self {
            faults: 0.0,
            ue_drop: 0.0,
            page: 100,
            ordered: true,
            lock: LockScope::Field,
            delete: DeletePolicy::Manual,
            line_delete: DeletePolicy::UpdateWins,
            fast_delta: true,
            answer_rows: false,
            records: 0,
            accounts: 1,
            operations: 0,
            deletes: false,
            creates: false,
            references: false,
            begin_agreed: false,
            late_seconds: 0,
            skew_micros: model::PerSide { suitex: 0, netsuite: 0 },
            fields: FIELDS.to_vec(),
            adversary: 0.0,
            eager: 0,
            workflow: 0.0,
            patch: false,
        }
    }
}
