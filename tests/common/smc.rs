//! Particle filters and samplers of every kind, small and awkward.

/// (name, input) of each.
pub fn problems() -> Vec<(String, String)> {
    let case = |name: &str, problem: &str, method: &str| {
        (name.to_string(), format!("solver = \"smc\"\n[problem]\n{problem}\n[method]\n{method}\n"))
    };
    let linear = "model = { kind = \"linear_gaussian\" }\nobservations = { simulate = 30, seed = 3 }";
    let volatility = "model = { kind = \"stochastic_volatility\" }\nobservations = { simulate = 30, seed = 3 }";
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
        case(
            "missing observations",
            "model = { kind = \"linear_gaussian\" }\nobservations = { values = [0.1, nan, nan, 1.0, nan, -0.5] }",
            "particles = 2050\nislands = 2",
        ),
    ]
}
