// What a script finds around it: `define`, its modules, errors, and the way its entry points are called.
//
// `native` is the simulator: op(name, json) → json, compile(path) evaluates a file of the cabinet.
(native) => {
    'use strict';

    /** An error as NetSuite throws it; what is thrown to a RESTlet's caller is its JSON. */
    class SuiteScriptError extends Error {
        constructor(name, message, { id = '', notifyOff = false } = {}) {
            super(message);
            Object.assign(this, { type: 'error.SuiteScriptError', name, id, notifyOff, userFacing: false });
        }

        toJSON() {
            return told(this);
        }

        toString() {
            return JSON.stringify(this);
        }
    }

    const failure = (name, message, more) => new SuiteScriptError(name, message || name, more);

    const stackOf = (error) =>
        String(error.stack || '').split('\n').map((line) => line.trim()).filter((line) => line !== '');

    /** Any thrown value in the shape of a script error. */
    const told = (thrown) => {
        const error = thrown !== null && typeof thrown === 'object' ? thrown : { message: String(thrown) };
        return {
            type: error.type || 'error.SuiteScriptError', name: String(error.name || 'UNEXPECTED_ERROR'),
            message: String(error.message === undefined ? '' : error.message), stack: stackOf(error),
            id: String(error.id || ''), notifyOff: Boolean(error.notifyOff), userFacing: Boolean(error.userFacing),
        };
    };

    let inDefine = false;

    const op = (name, args) => {
        if (inDefine) {
            throw failure('SUITESCRIPT_API_UNAVAILABLE_IN_DEFINE',
                'All SuiteScript API Modules are unavailable while executing your define callback.');
        }
        const { value, error } = JSON.parse(native.op(name, JSON.stringify(args === undefined ? null : args)));
        if (error) throw failure(error.name, error.message);
        return value;
    };

    /** A module of the platform. A member it does not have is told, instead of being undefined some lines later. */
    const guarded = (name, members) => new Proxy(Object.freeze(members), {
        get: (target, member) => {
            if (member in target || typeof member === 'symbol' || member === 'then' || member === 'toJSON') {
                return target[member];
            }
            throw failure('NOT_SIMULATED', `${name} has no ${String(member)} in this simulator`);
        },
    });

    /** `f({a, b})` and `f(a, b)`: most of N/record's functions may be called either way. */
    const named = (names, args) => {
        const [first] = args;
        const isOptions = args.length === 1 && first !== null && typeof first === 'object'
            && !Array.isArray(first) && Object.prototype.toString.call(first) !== '[object Date]';
        const options = isOptions ? first : Object.fromEntries(names.map((name, at) => [name, args[at]]));
        return options;
    };

    const required = (options, names) => {
        const missing = names.find((name) => options[name] === undefined || options[name] === null);
        if (missing) throw failure('SSS_MISSING_REQD_ARGUMENT', `missing a required argument: ${missing}`);
        return options;
    };

    const modules = new Map();
    const parsed = new Map();
    let found = null;
    let instances = new Map();

    const define = (...parts) => {
        const factory = parts.pop();
        const last = parts.pop();
        found = { needs: Array.isArray(last) ? last : [], factory };
    };

    /** A file is evaluated once; what it defines is made anew for every run. */
    const parse = (path) => {
        if (!parsed.has(path)) {
            const outer = found;
            found = null;
            native.compile(path);
            if (!found) throw failure('INVALID_MODULE', `${path} defines no module`);
            parsed.set(path, found);
            found = outer;
        }
        return parsed.get(path);
    };

    const resolve = (name, from) => {
        const start = name.startsWith('.') ? from.slice(0, from.lastIndexOf('/') + 1) : '/';
        const parts = [];
        `${start}${name}`.split('/').forEach((part) => {
            if (part === '..') parts.pop();
            else if (part !== '' && part !== '.') parts.push(part);
        });
        const path = `/${parts.join('/')}`;
        return path.endsWith('.js') ? path : `${path}.js`;
    };

    const need = (name, from, above) => {
        if (name === 'N' || name.startsWith('N/')) {
            if (!modules.has(name)) throw failure('MODULE_DOES_NOT_EXIST', `Module does not exist: ${name}.js`);
            return modules.get(name);
        }
        return instance(resolve(name, from), above);
    };

    const instance = (path, above) => {
        if (above.includes(path)) throw failure('CYCLIC_DEPENDENCY', `Modules need each other: ${path}`);
        if (!instances.has(path)) {
            const { needs, factory } = parse(path);
            const given = needs.map((name) => need(name, path, above.concat(path)));
            instances.set(path, typeof factory === 'function' ? factory(...given) : factory);
        }
        return instances.get(path);
    };

    const begin = (path) => {
        inDefine = true;
        try {
            instances = new Map();
            return instance(path, []);
        } finally {
            inDefine = false;
        }
    };

    const settle = { kind: 'none' };
    const globals = () => Object.getOwnPropertyNames(globalThis).length;
    const calls = {};
    let before = 0;

    const ended = (value) => Object.assign(settle, { kind: 'done', value });
    const broken = (error) => Object.assign(settle, { kind: 'failed', value: told(error) });

    /** Begins a call of one entry point; `outcome` has what came of it once no job is left. */
    const call = (path, entry, shape, json) => {
        settle.kind = 'pending';
        before = before || globals();
        try {
            const script = begin(path);
            if (!script || typeof script[entry] !== 'function') {
                settle.kind = 'absent';
                return;
            }
            const { argument, answer } = calls[shape](json === '' ? undefined : JSON.parse(json));
            const result = script[entry](argument);
            if (result !== null && typeof result === 'object' && typeof result.then === 'function') {
                result.then((value) => ended(answer(value)), broken);
            } else {
                ended(answer(result));
            }
        } catch (error) {
            broken(error);
        }
    };

    const outcome = () => JSON.stringify({ ...settle, leaks: globals() !== before });

    /** The entry points of a script, or what keeps it from being loaded. */
    const entries = (path) => {
        try {
            return JSON.stringify({ names: Object.keys(begin(path) || {}) });
        } catch (error) {
            return JSON.stringify({ error: told(error) });
        }
    };

    Object.assign(globalThis, { define, require: define });
    Math.random = native.random;
    return { failure, told, op, guarded, named, required, modules, calls, call, outcome, entries };
}
