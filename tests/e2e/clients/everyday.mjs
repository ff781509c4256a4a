// npm's `@kubernetes/client-node` against a device.
//
// In: the paths of a kubeconfig and of the installed package. Out: "all good", or an assertion that says what is not.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

const [kubeconfig, library] = process.argv.slice(2);
const k8s = await import(library);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = 'default';

const IN_TIME = 30_000;
// Nothing below waits longer than this.
const alarm = setTimeout(() => {
  console.error('it did not come to its end in time');
  process.exit(1);
}, 3 * IN_TIME);

async function refused(call, code, words) {
  await assert.rejects(call, (error) => {
    assert.equal(error.code, code);
    assert.match(error.body, words);
    return true;
  });
}

const map = (name, value) => ({ metadata: { name, labels: { of: 'node' } }, data: { a: value } });
const as = (type) => k8s.setHeaderOptions('Content-Type', type);

// Versions, lists.
const version = await config.makeApiClient(k8s.VersionApi).getCode();
assert.equal(version.minor, '36');
const nodes = await core.listNode();
assert.equal(nodes.items.length, 1);
assert.ok(nodes.items[0].metadata.creationTimestamp instanceof Date);
const pods = await core.listNamespacedPod({ namespace, labelSelector: 'app=web' });
assert.deepEqual(pods.items.map((pod) => pod.status.phase), ['Running']);
const web = pods.items[0].metadata.name;
assert.match(await core.readNamespacedPodLog({ name: web, namespace }), /web version 1 on/);

// An informer whose watches the server ends every second: it lists once and misses nothing.
const seen = [];
let [lists, connections] = [0, 0];
const list = () => {
  lists += 1;
  return core.listNamespacedConfigMap({ namespace, labelSelector: 'of=node' });
};
const watch = new k8s.Watch(config);
const short = {
  watch: (path, query, each, done) => watch.watch(path, { ...query, timeoutSeconds: 1 }, each, done),
};
const informer = new k8s.ListWatch(`/api/v1/namespaces/${namespace}/configmaps`, short, list, false, 'of=node');
const changed = new PassThrough({ objectMode: true });
for (const verb of ['add', 'update', 'delete']) {
  informer.on(verb, (object) => {
    seen.push(`${verb} ${object.metadata.name} ${object.data.a}`);
    changed.write(verb);
  });
}
informer.on('connect', () => {
  connections += 1;
  changed.write('connect');
});
// Its stop is told as an error too.
informer.on('error', (error) => assert.equal(error.type, 'aborted', error));
async function until(what, holds) {
  const late = AbortSignal.timeout(IN_TIME);
  while (!holds()) {
    await once(changed, 'data', { signal: late }).catch(() => assert.fail(`${what} did not come: ${seen}`));
  }
}

await core.createNamespacedConfigMap({ namespace, body: map('before', '0') });
await informer.start();
assert.deepEqual(seen, ['add before 0']);
await core.createNamespacedConfigMap({ namespace, body: map('m', '1') });
await until('what was added', () => seen.includes('add m 1'));
const held = connections;
await until('two more watches', () => connections >= held + 2);
await core.patchNamespacedConfigMap({ name: 'm', namespace, body: { data: { a: '2' } } }, as(k8s.PatchStrategy.MergePatch));
await until('what was updated', () => seen.includes('update m 2'));
assert.equal(informer.get('m', namespace).data.a, '2');
await core.deleteNamespacedConfigMap({ name: 'before', namespace });
await until('what was deleted', () => seen.includes('delete before 0'));
assert.deepEqual(seen, ['add before 0', 'add m 1', 'update m 2', 'delete before 0']);
assert.equal(lists, 1);
await informer.stop();

// Creating, every patch, a stale version, two owners.
await refused(core.createNamespacedConfigMap({ namespace, body: map('m', '1') }), 409, /AlreadyExists/);
const read = await core.readNamespacedConfigMap({ name: 'm', namespace });
await core.replaceNamespacedConfigMap({ name: 'm', namespace, body: { ...read, data: { a: '3' } } });
await refused(core.replaceNamespacedConfigMap({ name: 'm', namespace, body: read }), 409, /Conflict/);
const pointed = [{ op: 'replace', path: '/data/a', value: '4' }];
await core.patchNamespacedConfigMap({ name: 'm', namespace, body: pointed }, as(k8s.PatchStrategy.JsonPatch));
await core.patchNamespacedConfigMap(
  { name: 'm', namespace, body: { data: { b: '5' } } },
  as(k8s.PatchStrategy.StrategicMergePatch),
);
const owned = (value) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { a: value } });
const apply = (fieldManager, value, force) =>
  core.patchNamespacedConfigMap(
    { name: 'm', namespace, body: owned(value), fieldManager, force },
    as(k8s.PatchStrategy.ServerSideApply),
  );
await apply('one', '6', true);
await refused(apply('two', '7'), 409, /conflict with \\"one\\"/);
const applied = await core.readNamespacedConfigMap({ name: 'm', namespace });
assert.deepEqual(applied.data, { a: '6', b: '5' });

// Objects of any kind, by what they say they are.
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
await objects.patch({ ...owned('8'), metadata: { name: 'm', namespace } }, undefined, undefined, 'node', undefined, k8s.PatchStrategy.MergePatch);
assert.equal((await objects.read({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm', namespace } })).data.a, '8');
await refused(core.readNamespacedConfigMap({ name: 'nobody', namespace }), 404, /\\"nobody\\" not found/);
const scale = await apps.readNamespacedDeploymentScale({ name: 'web', namespace });
assert.equal(scale.spec.replicas, 1);

// Exec by WebSocket: outputs apart, input, the exit code.
async function executed(command, typed) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const words = [text(out), text(err)];
  const input = typed === undefined ? null : Readable.from([typed]);
  const status = await new Promise((resolve, reject) => {
    new k8s.Exec(config).exec(namespace, web, 'web', command, out, err, input, false, resolve).catch(reject);
  });
  out.end();
  err.end();
  return [...(await Promise.all(words)), status];
}
const [out, err, status] = await executed(['sh', '-c', 'read x; echo got $x; echo err >&2; exit 3'], 'typed\n');
assert.deepEqual([out, err], ['got typed\n', 'err\n']);
assert.equal(status.reason, 'NonZeroExitCode');
assert.equal(status.details.causes[0].message, '3');
assert.equal((await executed(['true']))[2].status, 'Success');

// A port by WebSocket.
const forward = new k8s.PortForward(config);
const server = net.createServer((socket) => forward.portForward(namespace, web, [8080], socket, null, socket));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const client = net.connect(server.address().port, '127.0.0.1');
client.write('GET / HTTP/1.0\r\n\r\n');
let page = '';
// The library does not pass the end of the other side on: what is read is the page.
for await (const piece of client) {
  page += piece;
  if (page.includes('web version 1 on')) break;
}
server.close();

clearTimeout(alarm);
console.log('all good');
// Its sockets would hold the program.
process.exit(0);
