/** Loads a script of the project with the N/* modules of a fake account in place of Oracle's empty stubs. */

const script = (account, name) => {
    jest.resetModules();
    Object.entries(account.modules()).forEach(([module, fake]) => jest.doMock(module, () => fake));
    return require(`SuiteScripts/concord/${name}`);
};

module.exports = { script };
