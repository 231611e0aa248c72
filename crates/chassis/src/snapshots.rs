//! Full snapshots: where a producer puts an event that is too large for the bus, and from where people read it again.
//!
//! The event goes out without its changes, with the snapshot's address in `full_snapshot_ref`. It is a doorbell like any
//! other: the record is read. The snapshot is evidence of what the producer saw.

use std::sync::Arc;

use model::wire::WireError;
use model::{AccountId, ChangeEvent, EventId, NativeId, RecordType};
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::settings::{SettingError, Settings};

const NAME: &str = "SNAPSHOT_URL";
const ACCEPTED: &str = "file:///folder (that exists), gs://bucket/folder or s3://bucket/folder";
/// Events up to this size travel whole: 256 KiB.
const DEFAULT_THRESHOLD: usize = 256 * 1024;
/// Largest snapshot that is stored and read, in bytes: whoever can write to the storage must not fill our memory.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
const SUFFIX: &str = ".pb";

/// The store of full snapshots.
#[derive(Debug)]
pub struct Snapshots {
    objects: Arc<dyn ObjectStore>,
    /// The address all references begin with, without a slash at its end.
    root: String,
    /// Where the root is in the store.
    folder: Path,
    threshold: usize,
}

/// The event of the log a snapshot must be of.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The tenant.
    pub account: &'a AccountId,
    /// The type.
    pub record_type: &'a RecordType,
    /// The source side's own id.
    pub record_id: &'a NativeId,
    /// The event.
    pub event_id: EventId,
}

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The storage refused, or does not answer.
    #[error("the snapshot storage did not carry out the request")]
    Storage(#[from] object_store::Error),
    /// The address is not one of the tenant's snapshots here: nothing else is ever read.
    #[error("the address is no snapshot of {account} under {root}")]
    Elsewhere {
        /// Where snapshots are.
        root: String,
        /// Whose it should be.
        account: AccountId,
    },
    /// More than [`MAX_BYTES`].
    #[error("the snapshot has {bytes} bytes; at most {MAX_BYTES} are stored and read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// What lies there is not what was put there.
    #[error("the snapshot is not what its address says was put there")]
    Altered,
    /// What lies there is of another record or event.
    #[error("the snapshot is another event's")]
    AnothersEvent,
    /// What lies there is no event.
    #[error("the snapshot cannot be read: {0}")]
    Unreadable(#[from] WireError),
}

impl Snapshots {
    /// Reads `SNAPSHOT_URL` and `SNAPSHOT_THRESHOLD_BYTES` (default 262144); `None` when there is no storage. Credentials of
    /// Google and Amazon come from the environment or the machine, as their own tools take them.
    ///
    /// # Errors
    /// A setting that is wrong, by name.
    pub fn from_settings(settings: &Settings) -> Result<Option<Arc<Self>>, SettingError> {
        let threshold = settings.number("SNAPSHOT_THRESHOLD_BYTES", DEFAULT_THRESHOLD, 1..=8 * 1024 * 1024)?;
        let Some(text) = settings.text(NAME) else { return Ok(None) };
        let root = text.trim_end_matches('/').to_owned();
        let wrong = || SettingError::wrong(NAME, text, ACCEPTED);
        let (scheme, rest) = root.split_once("://").ok_or_else(wrong)?;
        let in_bucket = rest.split_once('/').map_or("", |(_, folder)| folder);
        let (objects, folder): (Arc<dyn ObjectStore>, &str) = match scheme {
            "file" if rest.starts_with('/') => {
                (Arc::new(LocalFileSystem::new_with_prefix(rest).map_err(|_| wrong())?), "")
            }
            "gs" => {
                let bucket = GoogleCloudStorageBuilder::from_env().with_url(&root).build().map_err(|_| wrong())?;
                (Arc::new(bucket), in_bucket)
            }
            "s3" => {
                let bucket = AmazonS3Builder::from_env().with_url(&root).build().map_err(|_| wrong())?;
                (Arc::new(bucket), in_bucket)
            }
            _ => return Err(wrong()),
        };
        let folder = Path::parse(folder).map_err(|_| wrong())?;
        Ok(Some(Arc::new(Self { objects, root, folder, threshold })))
    }

    /// Where an event is too large for the bus, stores it whole and leaves its address in its place. Answers whether it did.
    /// On an error the event is as it was.
    ///
    /// # Errors
    /// The storage does not take it, or it has more than [`MAX_BYTES`].
    pub async fn lighten(&self, event: &mut ChangeEvent) -> Result<bool, SnapshotError> {
        let whole = model::wire::encode_change(event);
        if whole.len() <= self.threshold || event.full_snapshot_ref.is_some() {
            return Ok(false);
        }
        let bytes = whole.len() as u64;
        if bytes > MAX_BYTES {
            return Err(SnapshotError::TooLarge { bytes });
        }
        // The address tells the content, so that what is read later is known to be what was put there.
        let name = format!("{}.{}{SUFFIX}", event.event_id, digest(&whole));
        let parts = [event.account.as_str(), event.record_type.as_str(), event.record_id.as_str(), &name];
        let place = Path::from_iter(parts);
        self.objects.put(&self.under(&place), whole.into()).await?;
        event.changes.clear();
        event.full_snapshot_ref = Some(format!("{}/{place}", self.root));
        Ok(true)
    }

    /// [`Snapshots::lighten`] for producers: an event the storage does not take goes out whole, and the bus decides.
    pub async fn lighten_if_possible(&self, event: &mut ChangeEvent) {
        if let Err(error) = self.lighten(event).await {
            let (account, event_id) = (&event.account, event.event_id);
            tracing::warn!(%account, %event_id, error = format!("{error:#}"), "event {event_id} of {account} goes out whole: {error}");
        }
    }

    /// The event a reference stands for; `None` when nothing lies there (any more). Only what lies in the tenant's own
    /// folder, is of that very event and is byte for byte what was put there.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub async fn read(&self, reference: &str, of: &Expected<'_>) -> Result<Option<ChangeEvent>, SnapshotError> {
        let elsewhere = || SnapshotError::Elsewhere { root: self.root.clone(), account: of.account.clone() };
        let rest = reference.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let place = rest.and_then(|rest| Path::parse(rest).ok()).ok_or_else(elsewhere)?;
        if place.parts().next() != Some(PathPart::from(of.account.as_str())) {
            return Err(elsewhere());
        }
        let named = place.filename().and_then(|name| name.strip_suffix(SUFFIX)?.rsplit_once('.'));
        let (_, told) = named.ok_or_else(elsewhere)?;
        let found = match self.objects.get(&self.under(&place)).await {
            Ok(found) if found.meta.size > MAX_BYTES => return Err(SnapshotError::TooLarge { bytes: found.meta.size }),
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if digest(&found) != told {
            return Err(SnapshotError::Altered);
        }
        let event = model::wire::decode_change(&found)?;
        let same = event.account == *of.account
            && event.record_type == *of.record_type
            && event.record_id == *of.record_id
            && event.event_id == of.event_id;
        if same { Ok(Some(event)) } else { Err(SnapshotError::AnothersEvent) }
    }

    fn under(&self, place: &Path) -> Path {
        Path::from_iter(self.folder.parts().chain(place.parts()))
    }
}

/// SHA-256 in hex digits.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Operation, Side, Source, Timestamp, TypedValue};

    use super::*;

    fn event(record_id: &str, bytes: usize) -> ChangeEvent {
        ChangeEvent {
            event_id: uuid::Uuid::from_u128(7),
            account: AccountId::parse("TSTDRV100001").unwrap(),
            record_type: RecordType::parse("customer").unwrap(),
            record_id: NativeId::parse(record_id).unwrap(),
            operation: Operation::Update,
            source: Source::Suitex,
            side: Side::Suitex,
            occurred_at: Timestamp::UNIX_EPOCH,
            base_version: None,
            changes: BTreeMap::from([("comments".to_owned(), TypedValue::Text("x".repeat(bytes)))]),
            full_snapshot_ref: None,
            remote_version: Some(3),
            write_id: None,
            auth_context: None,
            correlation_id: None,
        }
    }

    fn at(url: &str) -> Result<Option<Arc<Snapshots>>, SettingError> {
        Snapshots::from_settings(&Settings::from_pairs([(NAME, url), ("SNAPSHOT_THRESHOLD_BYTES", "1000")]))
    }

    fn expected(event: &ChangeEvent) -> Expected<'_> {
        let ChangeEvent { account, record_type, record_id, event_id, .. } = event;
        Expected { account, record_type, record_id, event_id: *event_id }
    }

    #[tokio::test]
    async fn a_large_event_is_stored_whole_and_read_again_and_a_small_one_travels() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let snapshots = at(&url).unwrap().unwrap();
        let mut small = event("7", 100);
        assert!(!snapshots.lighten(&mut small).await.unwrap());
        assert_eq!(small, event("7", 100));
        for record_id in ["7", "a/../b%2F", "é", ".."] {
            let mut large = event(record_id, 5_000);
            assert!(snapshots.lighten(&mut large).await.unwrap());
            assert!(large.changes.is_empty() && model::wire::encode_change(&large).len() < 1_000);
            let reference = large.full_snapshot_ref.clone().unwrap();
            assert!(reference.starts_with(&format!("{url}/TSTDRV100001/customer/")), "{reference}");
            let read = snapshots.read(&reference, &expected(&large)).await.unwrap();
            assert_eq!(read, Some(event(record_id, 5_000)));
        }
    }

    #[tokio::test]
    async fn nothing_is_read_from_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in/TSTDRV100001");
        std::fs::create_dir_all(&inside).unwrap();
        let digest = digest(b"x");
        std::fs::write(folder.path().join(format!("e.{digest}.pb")), "x").unwrap();
        std::fs::write(inside.join(format!("e.{digest}.pb")), "x").unwrap();
        let url = format!("file://{}/in", folder.path().display());
        let snapshots = at(&url).unwrap().unwrap();
        let wanted = event("7", 1);
        let of = expected(&wanted);
        let outside = [
            format!("file://{}/e.{digest}.pb", folder.path().display()),
            format!("{url}/../e.{digest}.pb"),
            format!("{url}/TSTDRV100001/../../e.{digest}.pb"),
            format!("{url}/ANOTHER/e.{digest}.pb"),
            format!("{url}more/TSTDRV100001/e.{digest}.pb"),
            format!("{url}/TSTDRV100001/no-digest"),
            format!("gs://bucket/TSTDRV100001/e.{digest}.pb"),
            String::new(),
        ];
        for reference in outside {
            let refused = snapshots.read(&reference, &of).await.unwrap_err();
            assert!(matches!(refused, SnapshotError::Elsewhere { .. }), "{reference}: {refused}");
        }
        let nothing = format!("{url}/TSTDRV100001/nothing.{digest}.pb");
        assert_eq!(snapshots.read(&nothing, &of).await.unwrap(), None);
        let junk = format!("{url}/TSTDRV100001/e.{digest}.pb");
        let refused = snapshots.read(&junk, &of).await.unwrap_err();
        assert!(matches!(refused, SnapshotError::Unreadable(_)), "{refused}");
    }

    #[tokio::test]
    async fn only_the_events_own_snapshot_is_read_as_it_was_put_there_and_never_a_huge_one() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        let snapshots = at(&url).unwrap().unwrap();
        let mut large = event("7", 5_000);
        snapshots.lighten(&mut large).await.unwrap();
        let reference = large.full_snapshot_ref.clone().unwrap();
        let others = [
            ChangeEvent { event_id: uuid::Uuid::from_u128(8), ..large.clone() },
            ChangeEvent { record_id: NativeId::parse("8").unwrap(), ..large.clone() },
            ChangeEvent { record_type: RecordType::parse("item").unwrap(), ..large.clone() },
        ];
        for other in &others {
            let refused = snapshots.read(&reference, &expected(other)).await.unwrap_err();
            assert!(matches!(refused, SnapshotError::AnothersEvent), "{refused}");
        }
        let file = std::path::PathBuf::from(reference.strip_prefix("file://").unwrap());
        let changed = model::wire::encode_change(&event("7", 4_999));
        std::fs::write(&file, changed).unwrap();
        let refused = snapshots.read(&reference, &expected(&large)).await.unwrap_err();
        assert!(matches!(refused, SnapshotError::Altered), "{refused}");
        std::fs::File::options().write(true).open(&file).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let refused = snapshots.read(&reference, &expected(&large)).await.unwrap_err();
        assert!(matches!(refused, SnapshotError::TooLarge { bytes } if bytes == MAX_BYTES + 1), "{refused}");
    }

    #[test]
    fn buckets_of_google_and_amazon_are_taken_and_everything_else_is_refused_by_name() {
        assert!(Snapshots::from_settings(&Settings::default()).unwrap().is_none());
        for url in ["gs://bucket/folder/deep", "s3://bucket", "s3://bucket/folder/"] {
            let snapshots = at(url).unwrap().unwrap();
            assert_eq!(snapshots.root, url.trim_end_matches('/'));
        }
        assert_eq!(at("gs://bucket/a/b").unwrap().unwrap().folder.to_string(), "a/b");
        for wrong in ["folder", "file://folder", "file:///nowhere/at/all", "ftp://host/x", "gs://"] {
            let sentence = at(wrong).unwrap_err().to_string();
            assert!(sentence.contains(NAME) && sentence.contains("gs://bucket/folder"), "{sentence}");
        }
    }
}
