use model::RecordType;
use model::spec::{DeletePolicy, World};
use proptest::prelude::*;

use super::*;

fn field(kind: Kind) -> FieldSpec {
    FieldSpec {
        name: "f".to_owned(),
        column: "f_column".to_owned(),
        kind,
        policy: Policy::NewestWins,
        group: None,
        read_only: None,
        create_only: None,
        rest: None,
        note: None,
    }
}

fn named(name: &str, column: &str, kind: Kind) -> FieldSpec {
    FieldSpec { name: name.to_owned(), column: column.to_owned(), ..field(kind) }
}

fn item() -> Kind {
    Kind::Reference { to: RecordType::parse("item").unwrap() }
}

fn plain(max: usize) -> Kind {
    Kind::Text { max, keep_trailing: false }
}

fn sublist() -> Kind {
    Kind::Lines(Box::new(LinesSpec {
        sublist: "item".to_owned(),
        id: "id".to_owned(),
        parent: "parent_id".to_owned(),
        line_delete_policy: DeletePolicy::UpdateWins,
        match_on: Vec::new(),
        line: vec![
            named("item", "item_id", item()),
            named("quantity", "quantity", Kind::Decimal { scale: 4 }),
            FieldSpec { policy: Policy::Ignored, ..named("note", "note", plain(5)) },
        ],
    }))
}

fn text(text: &str) -> TypedValue {
    TypedValue::Text(text.to_owned())
}

fn decimal_text(text: &str) -> TypedValue {
    TypedValue::Decimal(text.to_owned())
}

fn set(members: &[&str]) -> TypedValue {
    TypedValue::Set(members.iter().map(|m| (*m).to_owned()).collect())
}

fn reference_to(id: &str) -> TypedValue {
    TypedValue::Reference { id: id.to_owned(), name: "shown".to_owned() }
}

fn some_set(members: &[&str]) -> Value {
    Value::Set(members.iter().map(|m| (*m).to_owned()).collect())
}

/// A value as a producer would type it.
fn to_typed(value: &Value) -> TypedValue {
    match value {
        Value::Null => TypedValue::Null,
        Value::Bool(on) => TypedValue::Bool(*on),
        Value::Int(number) => TypedValue::Integer(*number),
        Value::Text(text) => TypedValue::Text(text.clone()),
        Value::Set(members) => TypedValue::Set(members.iter().cloned().collect()),
        Value::Lines(lines) => {
            let fields =
                |line: &Line| line.iter().flatten().map(|(name, value)| (name.clone(), to_typed(value))).collect();
            TypedValue::Lines(lines.iter().map(|(key, line)| (key.clone(), fields(line))).collect())
        }
    }
}

#[test]
fn spellings_of_one_meaning_end_in_one_form() {
    let yes = || Value::Bool(true);
    let no = || Value::Bool(false);
    let cases: Vec<(Kind, TypedValue, Value)> = vec![
        (Kind::Bool, text("T"), yes()),
        (Kind::Bool, text("true"), yes()),
        (Kind::Bool, text("1"), yes()),
        (Kind::Bool, TypedValue::Integer(1), yes()),
        (Kind::Bool, TypedValue::Bool(true), yes()),
        (Kind::Bool, text("F"), no()),
        (Kind::Bool, text("false"), no()),
        (Kind::Bool, text("0"), no()),
        (Kind::Bool, TypedValue::Integer(0), no()),
        (Kind::Bool, text(""), no()),
        (Kind::Bool, TypedValue::Null, no()),
        (Kind::Integer, text(" 12 "), Value::Int(12)),
        (Kind::Integer, decimal_text("12.00"), Value::Int(12)),
        (Kind::Integer, decimal_text("1.2e1"), Value::Int(12)),
        (Kind::Integer, TypedValue::Integer(-12), Value::Int(-12)),
        (Kind::Integer, TypedValue::Integer(1_000_000_000_000_000), Value::Int(1_000_000_000_000_000)),
        (Kind::Integer, text(" "), Value::Null),
        (Kind::Decimal { scale: 2 }, text("10"), Value::text("10.00")),
        (Kind::Decimal { scale: 2 }, text("10.00"), Value::text("10.00")),
        (Kind::Decimal { scale: 2 }, decimal_text("1e1"), Value::text("10.00")),
        (Kind::Decimal { scale: 2 }, TypedValue::Integer(10), Value::text("10.00")),
        (Kind::Decimal { scale: 2 }, decimal_text("0.125"), Value::text("0.12")),
        (Kind::Decimal { scale: 2 }, decimal_text("0.135"), Value::text("0.14")),
        (Kind::Decimal { scale: 2 }, decimal_text("-0.001"), Value::text("0.00")),
        (Kind::Decimal { scale: 0 }, decimal_text("-7.5"), Value::text("-8")),
        (Kind::Decimal { scale: 2 }, text(""), Value::Null),
        (plain(9), text("a\r\nb\rc  "), Value::text("a\nb\nc")),
        (plain(9), text("\r\r\n"), Value::text("\n\n")),
        (plain(9), text("e\u{301}"), Value::text("é")),
        (plain(9), text("   "), Value::Null),
        (plain(9), TypedValue::Integer(7), Value::text("7")),
        (plain(9), decimal_text("1.50"), Value::text("1.50")),
        (plain(9), reference_to("5"), Value::text("5")),
        (plain(2), text("éé "), Value::text("éé")),
        (Kind::Text { max: 9, keep_trailing: true }, text("a "), Value::text("a ")),
        (Kind::Date, text("2024-02-29"), Value::text("2024-02-29")),
        (Kind::Date, TypedValue::Date("0001-01-01".into()), Value::text("0001-01-01")),
        (Kind::Date, text(""), Value::Null),
        (Kind::DateTime, text("2026-11-14T13:12:05.999Z"), Value::text("2026-11-14T13:12:05Z")),
        (Kind::DateTime, text("2026-11-14 05:12:05-08:00"), Value::text("2026-11-14T13:12:05Z")),
        (Kind::DateTime, TypedValue::DateTime("1969-12-31T23:59:58.5Z".into()), Value::text("1969-12-31T23:59:58Z")),
        (item(), reference_to("007"), Value::text("007")),
        (item(), text(" 7 "), Value::text("7")),
        (item(), TypedValue::Integer(7), Value::text("7")),
        (item(), reference_to(""), Value::Null),
        (Kind::Set, set(&["2", "1", "2", " "]), some_set(&["1", "2"])),
        (Kind::Set, text("2, 1"), some_set(&["1", "2"])),
        (Kind::Set, text("2\u{5}1"), some_set(&["1", "2"])),
        (Kind::Set, TypedValue::Integer(1), some_set(&["1"])),
        (Kind::Set, set(&[]), Value::Null),
        (Kind::Set, text(","), Value::Null),
        (sublist(), set(&[]), Value::Null),
        (sublist(), TypedValue::Lines(BTreeMap::new()), Value::Null),
        (sublist(), TypedValue::Null, Value::Null),
    ];
    for (kind, typed, expected) in cases {
        assert_eq!(normalise(&field(kind.clone()), &typed), Ok(expected), "{typed:?} as {kind:?}");
    }
}

#[test]
fn what_is_not_accepted_is_refused_without_repeating_it() {
    let cases: Vec<(Kind, TypedValue)> = vec![
        (Kind::Bool, text("secret")),
        (Kind::Bool, TypedValue::Integer(2)),
        (Kind::Bool, decimal_text("1")),
        (Kind::Integer, text("secret")),
        (Kind::Integer, decimal_text("1.5")),
        (Kind::Integer, TypedValue::Integer(1_000_000_000_000_001)),
        (Kind::Integer, TypedValue::Bool(true)),
        (Kind::Decimal { scale: 2 }, text("5%")),
        (Kind::Decimal { scale: 2 }, text("1,000.00")),
        (Kind::Decimal { scale: 2 }, text("NaN")),
        (Kind::Decimal { scale: 2 }, decimal_text("1e16")),
        (Kind::Decimal { scale: 2 }, decimal_text("1000000000000000.1")),
        (Kind::Decimal { scale: 2 }, decimal_text("0.12345678901234567890123456789")),
        (plain(6), text("secrets")),
        (plain(9), text("a\0b")),
        (plain(9), TypedValue::Bool(true)),
        (plain(9), set(&["1"])),
        (Kind::Date, text("11/14/2026")),
        (Kind::Date, text("2023-02-29")),
        (Kind::Date, text("0000-01-01")),
        (Kind::Date, text("10000-01-01")),
        (Kind::Date, TypedValue::DateTime("2026-11-14T13:12:05Z".into())),
        (Kind::DateTime, text("2026-11-14T13:12:05")),
        (Kind::DateTime, TypedValue::Date("2026-11-14".into())),
        (item(), text("a b")),
        (item(), TypedValue::Bool(true)),
        (Kind::Set, set(&["a\0"])),
        (Kind::Set, TypedValue::Bool(true)),
        (sublist(), text("secret")),
        (sublist(), set(&["secret"])),
    ];
    for (kind, typed) in cases {
        let failure = normalise(&field(kind.clone()), &typed).expect_err(&format!("{typed:?} as {kind:?}"));
        assert_eq!((failure.class, failure.code), (ErrorClass::Validation, "bad_value"));
        assert!(failure.reason.starts_with("field f: ") && failure.reason.contains("accepted: "), "{}", failure.reason);
        assert!(!failure.reason.contains("secret") && !failure.reason.contains('\0'), "{}", failure.reason);
    }
}

#[test]
fn a_refusal_names_the_shape_and_what_is_accepted() {
    let dated = TypedValue::DateTime("2026-11-14T13:12:05Z".into());
    let cases: Vec<(Kind, TypedValue, &str, &str)> = vec![
        (Kind::Bool, decimal_text("1.5"), "a decimal of 3 characters", "T, F, true, false, 1 and 0"),
        (Kind::Integer, TypedValue::Bool(true), "a boolean", "whole numbers within ±10^15"),
        (
            Kind::Decimal { scale: 2 },
            TypedValue::Date("2026-11-14".into()),
            "a date",
            "decimals within ±10^15 of at most 28 digits (kept to 2 after the point), no percent sign",
        ),
        (plain(2), text("abé"), "text of 3 characters", "text or a number of at most 2 characters without U+0000"),
        (Kind::Date, dated, "a date-time", "YYYY-MM-DD from 0001-01-01 to 9999-12-31"),
        (Kind::DateTime, TypedValue::Integer(1), "a whole number", "RFC 3339 with an offset, years 0001 to 9999"),
        (item(), set(&["1", "2"]), "a set of 2 members", "the id of one item"),
        (
            Kind::Set,
            TypedValue::Lines([("1".to_owned(), BTreeMap::new())].into()),
            "a sublist of 1 lines",
            "a list of ids of at most 255 bytes each, or ids separated by commas",
        ),
        (sublist(), reference_to("9"), "a reference", "lines by their id"),
    ];
    for (kind, typed, shape, accepted) in cases {
        let failure = normalise(&field(kind), &typed).unwrap_err();
        assert_eq!(failure.reason, format!("field f: {shape} is not accepted; accepted: {accepted}"));
    }
}

#[test]
fn members_and_line_keys_may_have_255_bytes() {
    let long = |bytes: usize| "x".repeat(bytes);
    assert_eq!(normalise(&field(Kind::Set), &set(&[&long(255)])), Ok(some_set(&[&long(255)])));
    assert!(normalise(&field(Kind::Set), &set(&[&long(256)])).is_err());
    let keyed = |key: String| normalise(&field(sublist()), &TypedValue::Lines([(key, BTreeMap::new())].into()));
    let held = Value::Lines([(long(255), Some(Fields::new()))].into());
    assert_eq!(keyed(long(255)), Ok(held));
    for key in [long(256), String::new(), "a\0b".to_owned()] {
        let refused = keyed(key).unwrap_err();
        assert!(refused.reason.contains("line keys of 1 to 255 bytes"), "{}", refused.reason);
    }
}

fn line(fields: &[(&str, TypedValue)]) -> BTreeMap<String, TypedValue> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn lines_follow_the_rules_of_their_fields() {
    let typed = TypedValue::Lines(
        [(
            "1".to_owned(),
            line(&[
                ("item", reference_to("9")),
                ("quantity", text("2")),
                ("other", text("x")),
                ("note", text("toolong")),
            ]),
        )]
        .into(),
    );
    let expected: Fields =
        [("item".to_owned(), Value::text("9")), ("quantity".to_owned(), Value::text("2.0000"))].into();
    let normal = normalise(&field(sublist()), &typed);
    assert_eq!(normal, Ok(Value::Lines([("1".to_owned(), Some(expected))].into())));
}

#[test]
fn lines_may_speak_the_tenants_columns_and_unknown_fields_are_left_out() {
    let typed = |pairs: &[(&str, TypedValue)]| TypedValue::Lines([("1".to_owned(), line(pairs))].into());
    let held = |fields: Fields| Ok(Value::Lines([("1".to_owned(), Some(fields))].into()));
    let by_column = typed(&[("item_id", reference_to("9")), ("other", text("x"))]);
    assert_eq!(normalise(&field(sublist()), &by_column), held([("item".to_owned(), Value::text("9"))].into()));
    assert_eq!(normalise(&field(sublist()), &typed(&[("other", text("7"))])), held(Fields::new()));
}

#[test]
fn a_refused_line_field_names_its_sublist() {
    let typed = TypedValue::Lines([("1".to_owned(), line(&[("quantity", text("many"))]))].into());
    let failure = normalise(&field(sublist()), &typed).unwrap_err();
    assert!(failure.reason.starts_with("sublist f, field quantity: text of 4 characters"), "{}", failure.reason);
}

#[test]
fn changes_may_speak_the_tenants_columns_and_unknown_fields_are_left_out() {
    let world = World::sample();
    let customer = world.get(&RecordType::parse("customer").unwrap()).unwrap();
    let changes = line(&[
        ("company_name", text("Acme ")),
        ("credit_limit", decimal_text("5")),
        ("creditlimit", decimal_text("7")),
        ("is_inactive", TypedValue::Null),
        ("updated_at", text("now")),
    ]);
    let expected: Fields = [
        ("companyname".to_owned(), Value::text("Acme")),
        ("creditlimit".to_owned(), Value::text("7.00")),
        ("isinactive".to_owned(), Value::Bool(false)),
    ]
    .into();
    assert_eq!(normalise_changes(customer, &changes), Ok(expected));
    let refused = normalise_changes(customer, &line(&[("credit_limit", text("lots"))])).unwrap_err();
    assert!(refused.reason.starts_with("field creditlimit: "), "{}", refused.reason);
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Bool),
        Just(Kind::Integer),
        (0_u32..=12).prop_map(|scale| Kind::Decimal { scale }),
        any::<bool>().prop_map(|keep_trailing| Kind::Text { max: 40, keep_trailing }),
        Just(Kind::Date),
        Just(Kind::DateTime),
        Just(item()),
        Just(Kind::Set),
        Just(sublist()),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \r\n,\u{5}aé\u{301}\u{344}K]{0,10}",
        "\\PC{0,12}",
        "-?[0-9]{1,17}(\\.[0-9]{0,14})?(e-?[0-9])?",
        "[0-9]{4}-[01][0-9]-[0-3][0-9]",
        "[0-9]{4}-0[1-9]-[0-2][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)",
        "T|F|true|false|[01]",
    ]
}

fn any_scalar() -> impl Strategy<Value = TypedValue> {
    prop_oneof![
        1 => Just(TypedValue::Null),
        1 => any::<bool>().prop_map(TypedValue::Bool),
        2 => any::<i64>().prop_map(TypedValue::Integer),
        2 => (-9999_i64..9999).prop_map(TypedValue::Integer),
        4 => any_text().prop_map(TypedValue::Text),
        2 => any_text().prop_map(TypedValue::Decimal),
        1 => any_text().prop_map(TypedValue::Date),
        1 => any_text().prop_map(TypedValue::DateTime),
        1 => any_text().prop_map(|id| TypedValue::Reference { id, name: String::new() }),
        2 => proptest::collection::vec(any_text(), 0..4).prop_map(TypedValue::Set),
    ]
}

fn any_value() -> impl Strategy<Value = TypedValue> {
    let fields = proptest::collection::btree_map("item|quantity|other", any_scalar(), 0..3);
    let lines = proptest::collection::btree_map("[0-9]{0,2}", fields, 0..3).prop_map(TypedValue::Lines);
    prop_oneof![4 => any_scalar(), 1 => lines]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_canonical_form_stays_as_it_is(kind in any_kind(), typed in any_value()) {
        let field = field(kind);
        if let Ok(normal) = normalise(&field, &typed) {
            prop_assert_eq!(normalise(&field, &to_typed(&normal)), Ok(normal));
        }
    }

    #[test]
    fn decimals_lose_nothing_at_a_scale_they_fit(units in -10_i128.pow(15)..10_i128.pow(15), scale in 0_u32..=6) {
        let sign = if units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", units.abs(), width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        let spelled = if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
        let normal = normalise(&field(Kind::Decimal { scale }), &decimal_text(&spelled));
        prop_assert_eq!(normal, Ok(Value::Text(spelled)));
    }

    #[test]
    fn rounding_never_moves_further_than_half_a_unit(mantissa in any::<i64>(), drop in 1_u32..=9) {
        let spelled = format!("{mantissa}e-{}", drop + 6);
        let Ok(Value::Text(normal)) = normalise(&field(Kind::Decimal { scale: 6 }), &decimal_text(&spelled)) else {
            return Err(TestCaseError::fail("a 19-digit number is a decimal"));
        };
        let units: i128 = normal.replace('.', "").parse().expect("digits");
        let distance = (units * 10_i128.pow(drop) - i128::from(mantissa)).abs() * 2;
        let half = 10_i128.pow(drop);
        prop_assert!(distance < half || (distance == half && units % 2 == 0), "{} became {}", spelled, normal);
    }
}
