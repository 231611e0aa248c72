const fs = require('fs');
const path = require('path');
const vm = require('vm');
const { parseStringPromise } = require('xml2js');
const { Account } = require('./fakes/account');

const ROOT = path.join(__dirname, '..');
const SCRIPTS = path.join(ROOT, 'src/FileCabinet/SuiteScripts/concord');
const OBJECTS = path.join(ROOT, 'src/Objects');
const sources = fs.readdirSync(SCRIPTS).map((file) => file.replace(/\.js$/, ''));
const objects = fs.readdirSync(OBJECTS).map((file) => file.replace(/\.xml$/, ''));
const source = (name) => fs.readFileSync(path.join(SCRIPTS, `${name}.js`), 'utf8');
const xml = (file) => parseStringPromise(fs.readFileSync(path.join(ROOT, 'src', file), 'utf8'));

/** Which platform modules may be asked for where. What is not named here has none: it is logic alone. */
const SHELLS = {
    concord_flush: ['N/cache', 'N/log', 'N/runtime'], concord_query: ['N/error', 'N/query'],
    concord_subscriber: ['N/log', 'N/runtime', 'N/task'], concord_ue: ['N/cache', 'N/log', 'N/runtime'],
    concord_write: ['N/error', 'N/runtime'],
    records: ['N/record', 'N/query', 'N/search', 'N/runtime', 'N/format', 'N/log'], rows: ['N/record', 'N/query'],
    sender: ['N/crypto', 'N/encode', 'N/https'], settings: ['N/runtime'],
};

/** The smallest thing that can run the scripts: a bare context and `define`. No Node, no transformation. */
const bareLoader = (modules) => {
    const context = vm.createContext({});
    const loaded = { ...modules };
    const asked = {};
    const load = (name) => {
        if (name in loaded) return loaded[name];
        context.define = (wanted, factory) => {
            asked[name] = wanted;
            context.pending = [wanted, factory];
        };
        vm.runInContext(source(name.replace('./', '')), context, { filename: `${name}.js` });
        const [wanted, factory] = context.pending;
        loaded[name] = factory(...wanted.map(load));
        return loaded[name];
    };
    return { load, asked };
};

describe('the scripts', () => {
    it.each(sources)('%s runs in a bare engine and asks for no platform module but its own', (name) => {
        const { load, asked } = bareLoader(new Account().modules());
        expect(Object.keys(load(`./${name}`)).length).toBeGreaterThan(0);
        expect(asked[`./${name}`].filter((wanted) => wanted.startsWith('N/'))).toEqual(SHELLS[name] || []);
    });

    it('write, query and capture in a bare engine', () => {
        const account = new Account();
        const { load } = bareLoader(account.modules());
        const { results } = load('./concord_write').post({ writes: [{
            writeId: 'w', kind: 'create', type: 'customer', id: null, rid: 'r', stamp: 1, expect: 0, externalId: 'sx_r',
            changes: { companyname: 'Acme', custentity_since: '2026-03-01' }, pre: {},
        }] });
        expect(results[0]).toMatchObject({ status: 'ok', stamp: 1 });
        account.queryRows = [{ n: 1 }];
        expect(load('./concord_query').post({ query: 'SELECT 1 AS n FROM dual' }).rows).toEqual([{ n: 1 }]);
        load('./concord_ue').afterSubmit({ type: 'create', newRecord: account.contextRecord('customer', 5, { companyname: 'B' }) });
        expect(account.all('customrecord_concord_outbox')).toHaveLength(1);
    });

    it.each(sources)('%s stays small enough to see, and keeps no clock, chance or log of its own where it is logic', (name) => {
        expect(source(name).split('\n').length).toBeLessThan(400);
        if (!SHELLS[name]) expect(source(name)).not.toMatch(/Date\.now|Math\.random|new Date\(\)|console\./);
    });

    it('never write a guarded record past NetSuite\'s own check', () => {
        expect(sources.filter((name) => /submitFields\(/.test(source(name)))).toEqual(['rows']);
    });
});

describe('the project', () => {
    it.each(objects)('%s is well-formed and named after its file', async (name) => {
        const [root] = Object.values(await xml(`Objects/${name}.xml`));
        expect(root.$.scriptid).toBe(name);
        expect(name.length).toBeLessThanOrEqual(40);
    });

    it('deploys every object, but the event subscriber only where it is asked for', async () => {
        const { deploy } = await xml('deploy.xml');
        const paths = deploy.objects[0].path.map((entry) => path.basename(entry, '.xml'));
        expect(paths.concat('custevsub_concord').sort()).toEqual(objects.slice().sort());
    });

    it('points at script files of the right kind, with the deployments the client calls', async () => {
        const kinds = { usereventscript: 'UserEventScript', mapreducescript: 'MapReduceScript', restlet: 'Restlet', eventsubscriber: 'EventSubscriber' };
        const found = {};
        for (const name of objects) {
            const [[kind, root]] = Object.entries(await xml(`Objects/${name}.xml`));
            if (!kinds[kind]) continue;
            const file = (root.scriptfile || root.scriptfilepath)[0].replace(/[[\]]/g, '');
            expect(fs.readFileSync(path.join(ROOT, 'src/FileCabinet', file), 'utf8')).toContain(`@NScriptType ${kinds[kind]}`);
            const deployments = root.scriptdeployments ? root.scriptdeployments[0].scriptdeployment : [];
            found[name] = deployments.map((deployment) => deployment.$.scriptid);
        }
        expect(found.customscript_concord_query).toEqual(['customdeploy_concord_query']);
        expect(found.customscript_concord_write).toEqual(['customdeploy_concord_write']);
        expect(found.customscript_concord_flush).toContain('customdeploy_concord_flush_now');
        expect(Object.keys(found)).toHaveLength(5);
    });

    it('has the fields the scripts set and the parameters they read', async () => {
        const all = objects.map((name) => fs.readFileSync(path.join(OBJECTS, `${name}.xml`), 'utf8')).join('\n');
        const { FIELD, RECORD } = require('SuiteScripts/concord/outbox');
        const fields = require('SuiteScripts/concord/fields');
        const stamps = ['customer', 'item', 'salesorder'].map((name) => fields.named(name).stamp);
        const parameters = ['ue_mode', 'ue_url', 'ue_secret', 'ue_account', 'ue_budget_ms', 'mr_url', 'mr_secret', 'mr_account', 'wr_item']
            .map((name) => `custscript_concord_${name}`);
        [RECORD, ...Object.values(FIELD), ...stamps, ...parameters].forEach((id) => {
            expect(all).toContain(`scriptid="${id}"`);
        });
        expect(all.match(/scriptid="custscript_[a-z_]+"/g)).toHaveLength(parameters.length);
    });

    it('pins its packages and names no host they come from', () => {
        const { devDependencies } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
        Object.values(devDependencies).forEach((version) => expect(version).toMatch(/^\d+\.\d+\.\d+$/));
        expect(fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')).not.toMatch(/https?:|"resolved"/);
    });
});
