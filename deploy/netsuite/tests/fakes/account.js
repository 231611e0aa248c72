/** A NetSuite account with behaviour: the record store, and around it the services the scripts use. */

const nodeCrypto = require('crypto');
const { RecordStore, failure } = require('./records');

const iso = (date) => `${date.toISOString().slice(0, 19)}Z`;
const dayText = (date) => `${date.getMonth() + 1}/${date.getDate()}/${date.getFullYear()}`;

const TABLES = { customer: ['customer'], item: ['inventoryitem'], transaction: ['salesorder'] };
const STAMPS = {
    customer: 'custentity_concord_stamp', inventoryitem: 'custitem_concord_stamp', salesorder: 'custbody_concord_stamp',
};

class Account extends RecordStore {
    constructor() {
        super();
        this.remaining = 5000;
        this.parameters = {};
        this.secrets = { custsecret_concord: Buffer.from('a secret of at least twenty-four bytes').toString('base64') };
        this.requests = [];
        this.logs = [];
        this.cached = new Map();
        this.submitted = [];
        this.queryRows = [];
        /** What ingest answers: (request) → {code, body}, or an error thrown. */
        this.ingest = ({ body }) => ({
            code: 202,
            body: JSON.stringify({ accepted: JSON.parse(body).map(({ eventId }) => ({ eventId, messageId: 'm' })) }),
        });
        /** Names of modules that throw at every touch. */
        this.broken = new Set();
    }

    spend(units) {
        if (units > this.remaining) throw failure('SSS_USAGE_LIMIT_EXCEEDED');
        this.remaining -= units;
    }

    /** The statements of our scripts; anything else is answered from `queryRows`. */
    runSuiteQL(text, params = []) {
        this.spend(10);
        if (/FROM customrecord_concord_outbox/.test(text)) {
            return this.all('customrecord_concord_outbox')
                .filter((entry) => !entry.state.values.custrecord_concord_ob_refused)
                .map(({ id }) => ({ id })).sort((a, b) => a.id - b.id);
        }
        const table = /FROM (customer|item|transaction) WHERE (externalid|id) = \?/.exec(text);
        if (!table) return this.queryRows;
        return TABLES[table[1]].flatMap((type) => this.all(type))
            .filter((e) => (table[2] === 'id' ? e.id === params[0] : e.state.values.externalid === params[0]))
            .map(({ id, type, state }) => ({
                id, stamp: state.values[STAMPS[type]] || null, modified: iso(state.values.lastmodifieddate),
            }));
    }

    queryModule() {
        return {
            runSuiteQL: ({ query, params }) => ({ asMappedResults: () => this.runSuiteQL(query, params) }),
            runSuiteQLPaged: ({ query, params, pageSize }) => {
                if (pageSize < 5 || pageSize > 1000) throw failure('SSS_INVALID_PAGE_SIZE');
                const rows = this.runSuiteQL(query, params);
                const pages = Math.ceil(rows.length / pageSize);
                return {
                    pageRanges: Array.from({ length: pages }, (_, index) => ({ index })),
                    fetch: ({ index }) => {
                        this.spend(10);
                        const page = rows.slice(index * pageSize, (index + 1) * pageSize);
                        return { data: { asMappedResults: () => page } };
                    },
                };
            },
        };
    }

    cryptoModule() {
        return {
            HashAlg: { SHA256: 'SHA256' },
            createSecretKey: ({ secret, encoding }) => {
                if (!(secret in this.secrets)) throw failure('SSS_INVALID_API_SECRET');
                return { bytes: Buffer.from(this.secrets[secret], { BASE_64: 'base64', UTF_8: 'utf8' }[encoding]) };
            },
            createHmac: ({ algorithm, key }) => {
                const hmac = nodeCrypto.createHmac(algorithm.toLowerCase(), key.bytes);
                return {
                    update: ({ input, inputEncoding }) => {
                        if (inputEncoding !== 'UTF_8') throw failure('SSS_INVALID_ENCODING');
                        hmac.update(input, 'utf8');
                    },
                    digest: ({ outputEncoding }) => hmac.digest({ BASE_64: 'base64' }[outputEncoding]),
                };
            },
        };
    }

    cacheModule() {
        const entry = {
            get: ({ key }) => { this.spend(1); return this.cached.get(key) ?? null; },
            put: ({ key, value, ttl }) => {
                this.spend(1);
                if (ttl < 300) throw failure('SSS_INVALID_TTL');
                this.cached.set(key, value);
            },
            remove: ({ key }) => { this.spend(1); this.cached.delete(key); },
        };
        return { Scope: { PROTECTED: 'PROTECTED' }, getCache: () => entry };
    }

    runtimeModule() {
        return {
            accountId: 'TSTDRV100001',
            executionContext: 'USERINTERFACE',
            getCurrentScript: () => ({
                getParameter: ({ name }) => this.parameters[name] ?? null,
                getRemainingUsage: () => this.remaining,
            }),
            getCurrentUser: () => ({ id: 17, role: 3 }),
        };
    }

    otherModules() {
        const level = (name) => (entry) => { this.logs.push({ level: name, ...entry }); };
        return {
            'N/log': { audit: level('audit'), error: level('error'), debug: level('debug') },
            'N/encode': { Encoding: { UTF_8: 'UTF_8', BASE_64: 'BASE_64' } },
            'N/error': { create: ({ name, message }) => failure(name, message) },
            'N/format': {
                Type: { DATE: 'date', DATETIME: 'datetime' },
                format: ({ value, type }) => (type === 'date' ? dayText(value) : `${dayText(value)} 3:04 pm`),
            },
            'N/https': {
                post: (request) => {
                    this.spend(10);
                    this.requests.push(request);
                    return this.ingest(request);
                },
            },
            'N/search': {
                Type: { ITEM: 'item' },
                lookupFields: ({ id }) => {
                    this.spend(1);
                    return this.peek('inventoryitem', id) ? { recordtype: 'inventoryitem' } : {};
                },
            },
            'N/task': {
                TaskType: { MAP_REDUCE: 'MAP_REDUCE' },
                create: (wanted) => ({
                    submit: () => {
                        this.spend(20);
                        if (this.submitted.length > 0) throw failure('MAP_REDUCE_ALREADY_RUNNING');
                        this.submitted.push(wanted);
                    },
                }),
            },
        };
    }

    modules() {
        const all = {
            'N/record': this.recordModule(), 'N/query': this.queryModule(), 'N/crypto': this.cryptoModule(),
            'N/cache': this.cacheModule(), 'N/runtime': this.runtimeModule(), ...this.otherModules(),
        };
        return Object.fromEntries(Object.entries(all).map(([name, module]) => [name, this.breakable(name, module)]));
    }

    breakable(name, module) {
        return new Proxy(module, {
            get: (target, member) => {
                if (this.broken.has(name) && typeof target[member] === 'function') {
                    return () => { throw failure('UNEXPECTED_ERROR', 'a value a user typed'); };
                }
                return target[member];
            },
        });
    }

    /** Everything the scripts told the log, as one text. */
    logged() {
        return JSON.stringify(this.logs);
    }
}

module.exports = { Account, failure };
