// SPDX-License-Identifier: Apache-2.0
/* The Kubernetes client of Node.js against a cluster: an informer, exec, and a typed call.

   node client_node.mjs MODULE KUBECONFIG NAMESPACE POD      prints one line of JSON
*/
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';

const [folder, kubeconfig, namespace, pod] = process.argv.slice(2);
const k8s = createRequire(folder + '/')('@kubernetes/client-node');
const kc = new k8s.KubeConfig();
kc.loadFromFile(kubeconfig);
const core = kc.makeApiClient(k8s.CoreV1Api);

async function execute() {
    const out = new PassThrough(), chunks = [];
    out.on('data', (chunk) => chunks.push(chunk));
    const input = new PassThrough();
    input.end('from node\n');
    const status = await new Promise((resolve, reject) => {
        new k8s.Exec(kc).exec(namespace, pod, 'c', ['sh', '-c', 'echo out; cat; exit 3'], out, out,
            input, false, resolve).catch(reject);
    });
    return { text: Buffer.concat(chunks).toString(), reason: status.reason,
        code: status.details?.causes?.[0]?.message };
}

async function inform() {
    const seen = [];
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const informer = k8s.makeInformer(kc, path, () => core.listNamespacedConfigMap({ namespace }));
    const done = new Promise((resolve, reject) => {
        for (const verb of ['add', 'update', 'delete']) {
            informer.on(verb, (o) => {
                if (o.metadata.name === 'informed') {
                    seen.push(`${verb} ${o.data?.n}`);
                    if (verb === 'delete') {
                        resolve();
                    }
                }
            });
        }
        informer.on('error', reject);
    });
    await informer.start();
    const body = { metadata: { name: 'informed' }, data: { n: '1' } };
    await core.createNamespacedConfigMap({ namespace, body });
    body.data.n = '2';
    await core.replaceNamespacedConfigMap({ name: 'informed', namespace, body });
    await core.deleteNamespacedConfigMap({ name: 'informed', namespace });
    await done;
    await informer.stop();
    return seen;
}

const result = { exec: await execute(), informer: await inform() };
const node = (await core.listNode()).items[0];
result.node = node.status.nodeInfo.kubeletVersion;
process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0));
