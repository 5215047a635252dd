//! The floor: a bare client with the operator's own credentials writes the same objects as the operator.

use std::time::Instant;

use futures::StreamExt;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::figures::Floor;
use crate::error::Error;
use crate::recorder::{Key, Recorder, names};
use crate::site::{Site, api};

/// The numbers of parallel requests to try, and the number of objects.
const IN_FLIGHT: [usize; 4] = [32, 64, 128, 256];
const TRIED_ON: usize = 2_000;

/// Measures the floor while no operator runs; restores everything afterwards.
pub async fn measure(site: &Site, native: &Recorder, own: &Recorder) -> Result<Floor, Error> {
    let bare = site.as_operator().await?;
    let objects = described(native);
    let mut floor = Floor::default();
    for in_flight in IN_FLIGHT {
        let some: Vec<Value> = objects.iter().filter(|o| o["kind"] == "RoleBinding").take(TRIED_ON).cloned().collect();
        delete(&site.admin, &some).await?;
        let (count, started) = (some.len(), Instant::now());
        create(&bare, some, in_flight).await?;
        floor.rates.push((in_flight, count as f64 / started.elapsed().as_secs_f64()));
    }
    floor.in_flight = floor.rates.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(IN_FLIGHT[0], |best| best.0);

    delete(&site.admin, &objects).await?;
    native.until(|s| s.objects.is_empty().then_some(())).await?;
    // A binding's role has to exist first.
    let (roles, bindings): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(|o| o.get("roleRef").is_none());
    let count = roles.len() + bindings.len();
    let started = Instant::now();
    create(&bare, roles, floor.in_flight).await?;
    create(&bare, bindings, floor.in_flight).await?;
    floor.native_seconds = started.elapsed().as_secs_f64();
    native.until(|s| (s.objects.len() == count).then_some(())).await?;
    floor.course = native.look(|s| s.course(started));
    floor.status_seconds = statuses(&bare, own, floor.in_flight).await?;
    Ok(floor)
}

/// Removes a user from all native bindings in parallel, and adds it again. Returns the seconds of the removal.
pub async fn without(bare: &Client, native: &Recorder, username: &str) -> Result<f64, Error> {
    let objects: Vec<Value> = described(native).into_iter().filter(|o| names(o, username)).collect();
    let left = objects.iter().cloned().map(|mut object| {
        if let Some(subjects) = object["subjects"].as_array_mut() {
            subjects.retain(|subject| subject["name"] != username);
        }
        object
    });
    let in_flight = objects.len().min(256);
    let started = Instant::now();
    apply(bare, left.collect(), in_flight).await?;
    let took = started.elapsed().as_secs_f64();
    apply(bare, objects, in_flight).await?;
    Ok(took)
}

/// Deletes one native binding and creates it again. Returns the seconds of the creation.
pub async fn again(admin: &Client, bare: &Client, native: &Recorder, key: &Key) -> Result<f64, Error> {
    let object = native.look(|s| s.objects.get(key).map(|(_, object)| plain(key, object)));
    let objects: Vec<Value> = object.into_iter().collect();
    delete(admin, &objects).await?;
    let started = Instant::now();
    apply(bare, objects, 1).await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Writes every status once, each with a change.
async fn statuses(bare: &Client, own: &Recorder, in_flight: usize) -> Result<f64, Error> {
    let statuses: Vec<Value> = own.look(|s| {
        let document = |(key, (_, object)): (&Key, &(Instant, DynamicObject))| {
            let mut status = object.data["status"].clone();
            if let Some(condition) = status["conditions"].get_mut(0) {
                condition["message"] = json!("Measured.");
            }
            let mut value = json!({"apiVersion": "bailiwick.dev/v1alpha1", "kind": key.0, "metadata": {"name": key.2}});
            value["status"] = status;
            if !key.1.is_empty() {
                value["metadata"]["namespace"] = json!(key.1);
            }
            value
        };
        s.objects.iter().filter(|(_, (_, o))| !o.data["status"].is_null()).map(document).collect()
    });
    let params = PatchParams::apply("bailiwick").force();
    let started = Instant::now();
    concurrently(in_flight, &statuses, async |object| {
        api(bare, object).patch_status(name(object), &params, &Patch::Apply(object)).await.map(drop)
    })
    .await?;
    Ok(started.elapsed().as_secs_f64())
}

/// Creates objects in parallel.
pub async fn create(client: &Client, objects: Vec<Value>, in_flight: usize) -> Result<(), Error> {
    let params = PostParams { field_manager: Some("bailiwick".to_owned()), ..PostParams::default() };
    concurrently(in_flight, &objects, async |value| {
        let object: DynamicObject = serde_json::from_value(value.clone()).map_err(kube::Error::SerdeError)?;
        api(client, value).create(&params, &object).await.map(drop)
    })
    .await
}

async fn apply(client: &Client, objects: Vec<Value>, in_flight: usize) -> Result<(), Error> {
    let params = PatchParams::apply("bailiwick").force();
    concurrently(in_flight, &objects, async |object| {
        api(client, object).patch(name(object), &params, &Patch::Apply(object)).await.map(drop)
    })
    .await
}

/// Deletes objects in parallel.
pub async fn delete(client: &Client, objects: &[Value]) -> Result<(), Error> {
    concurrently(IN_FLIGHT[0], objects, async |object| {
        api(client, object).delete(name(object), &DeleteParams::default()).await.map(drop)
    })
    .await
}

/// Runs a task for each item, with so many in parallel; the first error ends it.
pub async fn concurrently<T>(
    in_flight: usize,
    objects: &[T],
    work: impl AsyncFn(&T) -> kube::Result<()>,
) -> Result<(), Error> {
    let mut running = futures::stream::iter(objects).map(|object| work(object)).buffer_unordered(in_flight.max(1));
    while let Some(result) = running.next().await {
        result?;
    }
    Ok(())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Every native object, as a document to write.
fn described(native: &Recorder) -> Vec<Value> {
    native.look(|s| s.objects.iter().map(|(key, (_, object))| plain(key, object)).collect())
}

fn plain(key: &Key, object: &DynamicObject) -> Value {
    let meta = &object.metadata;
    let mut value = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": key.0, "metadata": {"name": key.2,
        "labels": meta.labels, "annotations": meta.annotations, "ownerReferences": meta.owner_references}});
    if !key.1.is_empty() {
        value["metadata"]["namespace"] = json!(key.1);
    }
    for field in ["rules", "subjects", "roleRef"] {
        if !object.data[field].is_null() {
            value[field] = object.data[field].clone();
        }
    }
    value
}
