//! Particle filters and samplers of every kind, small and awkward.

/// (name, input) of each.
pub fn problems() -> Vec<(String, String)> {
    let case = |name: &str, problem: &str, method: &str| {
        (name.to_string(), format!("solver = \"smc\"\n[problem]\n{problem}\n[method]\n{method}\n"))
    };
    let linear = "model = { kind = \"linear_gaussian\" }\nobservations = { simulate = 30, seed = 3 }";
    let volatility = "model = { kind = \"stochastic_volatility\" }\nobservations = { simulate = 30, seed = 3 }";
    let mixture = "model = { kind = \"gaussian_mixture\", prior_sd = 3.0, \
                   components = [{ mean = [2, -2], sd = 0.5 }, { mean = [-1, 1], sd = 0.4 }] }";
    let chain = "observations = { values = [0.3, -0.5, 1.2, 0.8, -0.1, -1.4] }\n[problem.model]\nkind = \"written\"\n\
                 states = [\"x\"]\nparameters = { a = 0.5 }\nnoises = { n = { distribution = \"normal\" } }\n\
                 initial = { x = \"n\" }\ntransition = { x = \"a*x + n\" }\n\
                 observation = { y = { distribution = \"normal\", mean = \"x\", sd = 0.5 } }\n\
                 priors = { a = { distribution = \"normal\", mean = 0.0, sd = 1.0 } }";
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/inputs/smc/breast_cancer.csv");
    let regression = format!("model = {{ kind = \"logistic_regression\", file = \"{cases}\", features = [2, 5] }}");
    let missing = "model = { kind = \"linear_gaussian\" }\nobservations = { values = [0.1, nan, nan, 1.0, nan, -0.5] }";
    vec![
        case("filter", &format!("{linear}\nquantiles = [0.05, 0.5]"), "particles = 1500\nislands = 3"),
        case("filter, one island", linear, "particles = 5003\nislands = 1"),
        case("guided, SSP", linear, "name = \"guided\"\nparticles = 100\nislands = 5\nresampling = \"ssp\""),
        case(
            "auxiliary, multinomial at every step",
            linear,
            "name = \"auxiliary\"\nparticles = 333\nislands = 2\nresampling = \"multinomial\"\ness_threshold = 1",
        ),
        case("volatility, stratified", volatility, "particles = 777\nislands = 4\nresampling = \"stratified\""),
        case("volatility, residual", volatility, "particles = 777\nislands = 4\nresampling = \"residual\""),
        case("missing observations", missing, "particles = 2050\nislands = 2"),
        case("tempering, frozen", mixture, "name = \"tempering\"\nparticles = 150\nislands = 3\nmost_moves = 5"),
        case(
            "tempering, adaptive, HMC",
            mixture,
            "name = \"tempering\"\nkernel = \"hmc\"\nparticles = 1100\nislands = 2\nmost_moves = 4\nfreeze = false",
        ),
        case(
            "tempering, waste-free",
            mixture,
            "name = \"tempering\"\nparticles = 1230\nislands = 3\nwaste_free = 6\nkeep = 0.3",
        ),
        case(
            "errors from one run alone",
            linear,
            "particles = 1500\nislands = 2\nresampling = \"multinomial\"\ness_threshold = 1\nlee_whiteley = true\nchan_lai = true",
        ),
        case("filter, in order", linear, "particles = 700\nislands = 3\nsort = \"x\""),
        case("smoothing by ancestors", linear, "particles = 700\nislands = 3\nsmoothing = { kind = \"genealogy\" }"),
        case(
            "smoothing backwards",
            linear,
            "name = \"guided\"\nparticles = 200\nislands = 3\nsmoothing = { kind = \"backward\", trajectories = 20 }",
        ),
        case(
            "smoothing of fixed lag",
            volatility,
            "particles = 600\nislands = 2\nsmoothing = { kind = \"fixed_lag\", lag = 5 }",
        ),
        case(
            "particle Gibbs",
            linear,
            "name = \"particle_gibbs\"\nparticles = 20\nislands = 3\niterations = 15\nwarm_up = 4\nthin = 2",
        ),
        case(
            "particle Gibbs of a parameter",
            chain,
            "name = \"particle_gibbs\"\nparticles = 12\nislands = 3\niterations = 15\nwarm_up = 6\nthin = 2",
        ),
        case(
            "SMC squared",
            chain,
            "name = \"smc_squared\"\nparticles = 30\nislands = 2\nparameter_particles = 9\ness_threshold = 0.8\nparameter_moves = 2",
        ),
        case(
            "predicted, auxiliary",
            &format!("{missing}\nquantiles = [0.1]\npredict = {{ steps = 4, interval = 0.5 }}"),
            "name = \"auxiliary\"\nparticles = 700\nislands = 3",
        ),
        case(
            "predicted, in single precision",
            &format!("{volatility}\npredict = {{ steps = 3 }}"),
            "particles = 1100\nislands = 2\nprecision = \"f32\"",
        ),
        case(
            "predicted by a chain",
            &format!("predict = {{ steps = 2 }}\n{chain}"),
            "name = \"pmmh\"\nparticles = 60\nislands = 2\niterations = 25\nwarm_up = 12",
        ),
        case(
            "predicted by particle Gibbs",
            &format!("predict = {{ steps = 2 }}\n{chain}"),
            "name = \"particle_gibbs\"\nparticles = 12\nislands = 3\niterations = 15\nwarm_up = 6\nthin = 2",
        ),
        case(
            "outcomes predicted by a sampler",
            &format!("{regression}\npredict = {{ file = \"{cases}\", draws = 3 }}"),
            "name = \"tempering\"\nparticles = 96\nislands = 3\nwaste_free = 6\nkeep = 0.2",
        ),
        case(
            "predicted by SMC squared",
            &format!("predict = {{ steps = 2 }}\n{chain}"),
            "name = \"smc_squared\"\nparticles = 30\nislands = 2\nparameter_particles = 9\ness_threshold = 0.8\nparameter_moves = 2",
        ),
        case("chain", chain, "name = \"pmmh\"\nparticles = 60\nislands = 2\niterations = 25\nwarm_up = 12"),
    ]
}
