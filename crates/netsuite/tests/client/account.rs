//! An account that points at a mock, and the sample world's types.

use std::sync::Arc;
use std::time::Duration;

use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, Fields, Ids, LineIds, NativeId, ReadRequest, RecordType, Rid, SeededIds, SystemClock, Timestamp,
    WriteKind, WriteRequest,
};
use netsuite::{Auth, NetsuiteConfig, NetsuiteRemote};
use uuid::Uuid;

pub(crate) const ACCOUNT: &str = "TSTDRV100001";

pub(crate) fn account() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

pub(crate) fn tba(base: &str) -> NetsuiteConfig {
    let auth = Auth::Tba {
        realm: ACCOUNT.into(),
        consumer_key: "ck".into(),
        consumer_secret: "cs".to_owned().into(),
        token_id: "ti".into(),
        token_secret: "ts".to_owned().into(),
    };
    let mut config = NetsuiteConfig::new(account(), base, base, &format!("{base}/token"), auth);
    config.timeout = Duration::from_secs(5);
    config
}

pub(crate) fn remote(config: &NetsuiteConfig) -> NetsuiteRemote {
    remote_at(config, Arc::new(SystemClock))
}

pub(crate) fn remote_at(config: &NetsuiteConfig, clock: Arc<dyn Clock>) -> NetsuiteRemote {
    let ids: Arc<dyn Ids> = Arc::new(SeededIds::new(1));
    NetsuiteRemote::open(std::slice::from_ref(config), clock, ids).unwrap()
}

pub(crate) fn spec(name: &str) -> TypeSpec {
    World::sample().get(&RecordType::parse(name).unwrap()).unwrap().clone()
}

pub(crate) fn rid(n: u128) -> Rid {
    Rid(Uuid::from_u128(n))
}

pub(crate) fn native(id: i64) -> NativeId {
    NativeId::parse(&id.to_string()).unwrap()
}

pub(crate) fn want(rid_number: u128, id: Option<i64>) -> ReadRequest {
    ReadRequest { rid: rid(rid_number), native_id: id.map(native), generation: 1, unresolved: Vec::new(), note: 0 }
}

pub(crate) fn update(n: u128, changes: Fields, pre: Fields) -> WriteRequest {
    WriteRequest {
        write_id: Uuid::from_u128(1000 + n),
        rid: rid(n),
        kind: WriteKind::Update,
        native_id: Some(native(n.try_into().unwrap())),
        generation: 1,
        stamp: 7,
        expect: 3,
        token: None,
        changes,
        pre,
        line_ids: LineIds::new(),
        note: 0,
        deadline: in_a_while(),
    }
}

pub(crate) fn in_a_while() -> Timestamp {
    SystemClock.now().checked_add(Duration::from_secs(30)).unwrap()
}
