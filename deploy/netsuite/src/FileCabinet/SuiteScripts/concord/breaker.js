/**
 * Keeps saves from waiting for an ingest that does not answer: after one failure nothing is sent directly for a while.
 *
 * The state is one entry of a cache that all scripts of ours share. Losing it costs one slow save.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    const KEY = 'direct_not_before';
    /** No direct sending for this long after a failure. */
    const OPEN_MS = 5 * 60 * 1000;
    /** The entry outlives that, so that the first save afterwards is known to be a trial. N/cache takes 300 s or more. */
    const KEPT_SECONDS = 1800;

    /** `store` has get(key), put(key, text, seconds) and remove(key); any of them may throw. */
    const of = (store, now) => {
        const trip = () => {
            try {
                store.put(KEY, String(now() + OPEN_MS), KEPT_SECONDS);
            } catch (_) {
                // Nothing to be done: the next save will find out by itself.
            }
        };

        /**
         * Whether this save may send. After the pause one save tries, and whoever comes meanwhile goes on without:
         * were all let through, all would wait.
         */
        const admits = () => {
            let until;
            try {
                until = store.get(KEY);
            } catch (_) {
                // Without its memory a breaker cannot protect anybody.
                return false;
            }
            if (!until) return true;
            if (Number(until) > now()) return false;
            trip();
            return true;
        };

        const clear = () => {
            try {
                if (store.get(KEY)) store.remove(KEY);
            } catch (_) {
                // It ends by itself.
            }
        };

        return { admits, trip, clear };
    };

    return { of, OPEN_MS };
});
