const SuiteCloudJestUnitTestRunner = require('@oracle/suitecloud-unit-testing/services/SuiteCloudJestUnitTestRunner');

module.exports = {
    defaultProjectFolder: 'src',
    commands: {
        // Nothing is deployed that the tests refuse.
        'project:deploy': {
            beforeExecuting: async (args) => {
                await SuiteCloudJestUnitTestRunner.run({});
                return args;
            },
        },
    },
};
