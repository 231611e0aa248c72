//! S1–S3, S22: our own writes coming back.

use model::WriteKind;
use model::record::ConflictReason;
use testkit::scene::{scene, text};
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

#[test]
fn s1_an_echo_causes_nothing() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A"))]);
        let before = scene.writes(SX).len();
        scene.edit(&sx, &[("a", text("B"))]);
        scene.merge();
        scene.answer(NS);
        // The user event of our own write, a poll row, and the user event once more.
        scene.merge();
        scene.sweep();
        scene.run.repeat();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("B"), text("B")]);
        assert_eq!(scene.record(&sx).head.version, 2);
        assert_eq!(scene.writes(NS), [create(), (WriteKind::Update, vec!["a".to_owned()])]);
        assert_eq!(scene.writes(SX).len(), before);
    });
}

fn create() -> (WriteKind, Vec<String>) {
    (WriteKind::Create, vec!["a".to_owned(), "f".to_owned()])
}

#[test]
fn s2_an_edit_hidden_in_an_echo_is_found() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A")), ("g1", text("P"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        scene.answer(NS);
        // In the same second; a poll row shows both, and last modified by us.
        scene.edit(&ns, &[("g1", text("Q"))]);
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("B")]);
        assert_eq!(both(scene, (&sx, &ns), "g1"), [text("Q"), text("Q")]);
        assert_eq!(scene.record(&sx).head.version, 3);
        assert_eq!(scene.writes(SX), [(WriteKind::Update, vec!["g1".to_owned()])]);
    });
}

#[test]
fn s3_an_echo_before_the_acknowledgement_of_a_killed_writer_is_no_edit() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        assert!(scene.begin_answer(NS));
        scene.until_landed();
        scene.kill(); // K7
        scene.merge(); // the echo is taken in, and waits: the side is in flight
        assert!(scene.record(&sx).shadows.netsuite.dirty());
        scene.edit(&ns, &[("b", text("C"))]);
        scene.recover(NS);
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("C"), text("C")]);
        assert_eq!(scene.record(&sx).head.version, 3);
        assert_eq!(scene.overrides(&sx), []);
    });
}

#[test]
fn s22_two_sides_rewriting_each_other_end_before_a_person() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("memo"))]);
        scene.rewrite(NS, Some(|text| text.to_uppercase()));
        scene.rewrite(SX, Some(|text| text.to_lowercase()));
        let version = scene.record(&sx).head.version;
        scene.edit(&sx, &[("b", text("new memo"))]);
        scene.settle();
        let record = scene.record(&sx);
        assert!(record.head.version <= version + 6, "{} versions", record.head.version - version);
        assert_eq!(scene.conflict(&sx).reason, ConflictReason::Oscillation);
        let written = (scene.writes(SX).len(), scene.writes(NS).len());
        scene.sweep();
        scene.settle();
        assert_eq!((scene.writes(SX).len(), scene.writes(NS).len()), written);
    });
}
