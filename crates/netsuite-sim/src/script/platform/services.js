// The smaller modules: queries, requests, secrets, the cache, the log, what a script may know of its run.
(platform) => {
    'use strict';

    const { op, failure, required, guarded, named, modules } = platform;
    const module = (name, members) => modules.set(name, guarded(name, members));
    const isText = (value) => typeof value === 'string';

    const results = (rows) => ({ asMappedResults: () => rows });

    module('N/query', {
        runSuiteQL: (options) => {
            const { query, params = [] } = required(isText(options) ? { query: options } : options, ['query']);
            return results(op('query.run', { query, params }).rows);
        },
        runSuiteQLPaged: (options) => {
            const { query, params = [], pageSize = 50 } = required(options, ['query']);
            if (!Number.isInteger(pageSize) || pageSize < 5 || pageSize > 1000) {
                throw failure('SSS_INVALID_PAGE_SIZE', 'The page size is from 5 to 1,000.');
            }
            const first = op('query.page', { query, params, pageSize, index: 0, first: true });
            let kept = first.rows;
            const pages = Math.ceil(first.total / pageSize);
            return {
                count: first.total, pageSize,
                pageRanges: Array.from({ length: pages }, (_, index) => ({
                    index, size: Math.min(pageSize, first.total - index * pageSize),
                })),
                fetch: (wanted) => {
                    const index = wanted !== null && typeof wanted === 'object' ? wanted.index : wanted;
                    if (!Number.isInteger(index) || index < 0 || index >= pages) {
                        throw failure('INVALID_PAGE_RANGE', 'Invalid page range.');
                    }
                    // The first page came with the count; fetching it costs its units all the same.
                    const isKept = index === 0 && kept !== null;
                    const fetched = op('query.page', { query, params, pageSize, index, first: false, kept: isKept });
                    const rows = isKept ? kept : fetched.rows;
                    kept = null;
                    return { data: results(rows), isFirst: index === 0, isLast: index === pages - 1 };
                },
            };
        },
    });

    module('N/search', {
        Type: Object.freeze({ CUSTOMER: 'customer', ITEM: 'item', SALES_ORDER: 'salesorder' }),
        lookupFields: (options) => {
            const { type, id, columns } = required(options, ['type', 'id', 'columns']);
            return op('search.lookupFields', { type, id: String(id), columns: [].concat(columns) });
        },
    });

    const bodyOf = (body) => (body !== null && typeof body === 'object'
        ? Object.entries(body).map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&')
        : body === undefined || body === null ? '' : String(body));

    const request = (method, options) => {
        const { url, headers = {}, body } = required(options, ['url']);
        const isForm = body !== null && typeof body === 'object';
        const sent = isForm ? { 'Content-Type': 'application/x-www-form-urlencoded', ...headers } : headers;
        return op('https.request', { method, url: String(url), headers: sent, body: bodyOf(body) });
    };

    module('N/https', {
        Method: Object.freeze({ GET: 'GET', POST: 'POST', PUT: 'PUT', DELETE: 'DELETE' }),
        get: (options) => request('GET', options),
        post: (options) => request('POST', required(options, ['body'])),
        put: (options) => request('PUT', required(options, ['body'])),
        delete: (options) => request('DELETE', options),
        request: (options) => request(String(options.method), options),
    });

    const Encoding = Object.freeze({ UTF_8: 'UTF_8', BASE_64: 'BASE_64', HEX: 'HEX' });

    module('N/encode', { Encoding });
    module('N/crypto', {
        Encoding, HashAlg: Object.freeze({ SHA256: 'SHA256', SHA512: 'SHA512' }),
        createSecretKey: (options) => {
            const { secret, encoding = Encoding.HEX } = required(options, ['secret']);
            op('crypto.secret', { secret, encoding });
            return { secret, encoding };
        },
        createHmac: (options) => {
            const { algorithm, key } = required(options, ['algorithm', 'key']);
            const inputs = [];
            return {
                update: ({ input, inputEncoding = Encoding.UTF_8 }) => { inputs.push({ input, encoding: inputEncoding }); },
                digest: ({ outputEncoding = Encoding.HEX } = {}) =>
                    op('crypto.hmac', { algorithm, ...key, inputs, outputEncoding }),
            };
        },
    });

    module('N/cache', {
        Scope: Object.freeze({ PRIVATE: 'PRIVATE', PROTECTED: 'PROTECTED', PUBLIC: 'PUBLIC' }),
        getCache: (options) => {
            const { name, scope = 'PRIVATE' } = required(options, ['name']);
            const place = (key) => ({ name, scope, key: String(key) });
            const put = ({ key, value, ttl = null }) =>
                op('cache.put', { ...place(key), value: isText(value) ? value : JSON.stringify(value), ttl });
            return {
                name, scope, put,
                get: ({ key, loader, ttl }) => {
                    const kept = op('cache.get', place(key));
                    if (kept !== null || !loader) return kept;
                    const value = loader({ key });
                    put({ key, value, ttl });
                    return isText(value) ? value : JSON.stringify(value);
                },
                remove: ({ key }) => op('cache.remove', place(key)),
            };
        },
    });

    const level = (name) => (...args) => {
        const { title, details } = named(['title', 'details'], args);
        const text = isText(details) ? details : JSON.stringify(details);
        op('log', { level: name, title: String(title), details: text === undefined ? '' : text });
    };
    const log = guarded('N/log', {
        debug: level('debug'), audit: level('audit'), error: level('error'), emergency: level('emergency'),
    });
    modules.set('N/log', log);
    Object.assign(globalThis, { log });

    module('N/error', {
        create: (options) => {
            const { name, message } = required(options, ['name', 'message']);
            return failure(String(name), String(message), { notifyOff: Boolean(options.notifyOff) });
        },
    });

    module('N/format', {
        Type: Object.freeze({ DATE: 'date', DATETIME: 'datetime', DATETIMETZ: 'datetimetz' }),
        format: (options) => {
            const { value, type } = required(options, ['value', 'type']);
            if (Object.prototype.toString.call(value) !== '[object Date]') return String(value);
            const day = [value.getFullYear(), value.getMonth() + 1, value.getDate()];
            return op('format', { type, day, milliseconds: value.getTime() });
        },
    });

    module('N/task', {
        TaskType: Object.freeze({ MAP_REDUCE: 'MAP_REDUCE', SCHEDULED_SCRIPT: 'SCHEDULED_SCRIPT' }),
        create: (options) => {
            const { taskType, scriptId, deploymentId = null } = required(options, ['taskType', 'scriptId']);
            return { taskType, scriptId, deploymentId, submit: () => op('task.submit', { taskType, scriptId, deploymentId }) };
        },
    });

    const ContextType = Object.freeze({
        CSV_IMPORT: 'CSVIMPORT', MAP_REDUCE: 'MAPREDUCE', RESTLET: 'RESTLET', REST_WEBSERVICES: 'RESTWEBSERVICES',
        SCHEDULED: 'SCHEDULED', USER_EVENT: 'USEREVENT', USER_INTERFACE: 'USERINTERFACE',
    });
    const facts = () => op('runtime', null);
    modules.set('N/runtime', new Proxy({}, {
        get: (_, member) => {
            switch (member) {
                case 'ContextType': return ContextType;
                case 'envType': return 'SANDBOX';
                case 'accountId': return facts().account;
                case 'executionContext': return facts().context;
                case 'getCurrentUser': return () => facts().user;
                case 'getCurrentScript': return () => {
                    const { script, deployment } = facts();
                    return {
                        id: script, deploymentId: deployment,
                        getParameter: (...args) => op('runtime.parameter', required(named(['name'], args), ['name'])),
                        getRemainingUsage: () => op('runtime.remainingUsage', null),
                    };
                };
                default:
                    if (typeof member === 'symbol' || member === 'then' || member === 'toJSON') return undefined;
                    throw failure('NOT_SIMULATED', `N/runtime has no ${String(member)} in this simulator`);
            }
        },
    }));
}
