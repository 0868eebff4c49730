//! Path problems of every method, small and awkward.

/// (name, input) of each.
pub fn problems() -> Vec<(String, String)> {
    let case = |name: &str, problem: &str, method: &str| {
        (name.to_string(), format!("solver = \"paths\"\n[problem]\n{problem}\n[method]\n{method}\n"))
    };
    let well = "prior = { kind = \"double_well\" }\nstart = [-1.0]\ntime_step = 0.005\nsteps = 37\n\
                observations = [{ step = 37, value = [1.0], deviation = [0.3] }]\noutput = { paths_per_replicate = 5 }";
    let plane = "prior = { kind = \"muller_brown\" }\nnoise = 5.0\nstart = [-0.55, 1.44]\ntime_step = 1e-4\nsteps = 21\n\
                 start_deviation = [0.0, 0.05]\n\
                 observations = [{ step = 11, value = [1.3], deviation = [0.05], coordinates = [1] }]\n\
                 balls = [{ step = 21, centre = [-0.6, 1.3], radius = 0.3 }]";
    let size = "paths = 400\nreplicates = 3";
    let twist = "twist = { kind = \"learned\", low = [-1.8], high = [1.8], features = 9, training_paths = 300 }";
    let planar = "twist = { kind = \"learned\", low = [-1.5, 0.2], high = [0.5, 2.0], features = 4, nodes = 3, \
                  training_paths = 130, passes = 1 }\nresample_below = 0.9";
    let bridge = "prior = { kind = \"brownian_bridge\", to = [1.0] }\nstart = [-1.0]\ntime_step = 0.02\nsteps = 29\n\
                  running = { functional_of = { kind = \"double_well\" }, from = 1, to = 28 }";
    let geometric = "prior = { kind = \"geometric_brownian\", rate = 0.5 }\nnoise = 0.4\nstart = [1.0]\n\
                     time_step = 0.05\nsteps = 20\nobservations = [{ step = 20, value = [2.0], deviation = [0.2] }]";
    let dynamics = |mover: &str| {
        let keys = match mover {
            "hmc" => "step_size = 0.3\nrotations = 2",
            "shooting" => "",
            _ => "step_size = 0.3",
        };
        format!("name = \"annealed_dynamics\"\nmover = \"{mover}\"\npaths = 320\nreplicates = 3\nsweeps = 2\n{keys}")
    };
    let written = "prior = { kind = \"written\", components = [\"x\", \"y\"], parameters = { a = 2 }, \
                   drift = { x = \"-a*x*(x^2 - 1) + y/2\", y = \"cos(t) - y\" } }\nstart = [-1.0, 0.0]\ntime_step = 0.02\n\
                   steps = 23\nobservations = [{ step = 23, value = [0.8], deviation = [0.3], coordinates = [0] }]";
    let quadratic = "twist = { kind = \"quadratic\", passes = 2, training_paths = 300 }";
    let grid =
        "twist = { kind = \"grid\", low = [-1.0, 0.9], high = [0.0, 1.9], points = [28, 28] }\nresample_below = 0.9";
    let clouds = "particles = 64\nsweeps = 60";
    let spiral = "prior = { kind = \"written\", components = [\"x\", \"y\"], drift = { x = \"2*y - x\", y = \"-x - y\" } }\n\
                  start = [1.0, 0.0]\nstart_deviation = [0.2, 0.0]\ntime_step = 0.02\nsteps = 23\n\
                  observations = [{ step = 23, value = [-0.5], deviation = [0.1], coordinates = [1] }]";
    let drawn = "prior = { kind = \"double_well\" }\nstart = [-1.0]\nstart_deviation = [0.2]\ntime_step = 0.01\nsteps = 31\n\
                 observations = [{ step = 31, value = [1.0], deviation = [0.3] }]";
    let disc = "name = \"committor\"\na = { kind = \"ball\", centre = [-0.56, 1.44], radius = 0.15 }\n\
                b = { kind = \"ball\", centre = [0.62, 0.03], radius = 0.15 }\nlow = [-1.5, -0.5]\nhigh = [1.2, 2.0]\ncells = [60, 54]";
    vec![
        case("paths, importance", well, &format!("name = \"importance\"\n{size}\ntwist = \"linear\"")),
        case("paths, rejection", well, &format!("name = \"rejection\"\n{size}")),
        case("paths, bootstrap", well, &format!("name = \"twisted_smc\"\n{size}\ntwist = {{ kind = \"none\" }}")),
        case("paths, learned twist", well, &format!("name = \"twisted_smc\"\n{size}\n{twist}")),
        case("paths, two coordinates", plane, &format!("name = \"twisted_smc\"\n{size}\n{planar}")),
        case(
            "paths, controlled annealing",
            well,
            "name = \"controlled_annealing\"\npaths = 400\nreplicates = 2\ntraining_paths = 512\nlow = [-2.0]\nhigh = [2.0]\nbins = 7",
        ),
        case("paths, pcn", geometric, &dynamics("pcn")),
        case("paths, pcnl", bridge, &dynamics("pcnl")),
        case("paths, hmc", bridge, &dynamics("hmc")),
        case("paths, shooting", well, &dynamics("shooting")),
        case(
            "paths, Schrödinger bridge",
            "prior = { kind = \"brownian\" }\nnoise = 0.7\nstart = [0.0]\ntime_step = 0.1\nsteps = 10",
            "name = \"schrodinger_bridge\"\npaths = 200\nreplicates = 3\n\
             source = { kind = \"points\", points = [[-1.0], [0.0], [0.5]] }\n\
             target = { kind = \"gaussian\", mean = [1.0], deviation = [0.3], samples = 41 }",
        ),
        case("paths, committor", "prior = { kind = \"muller_brown\" }\nnoise = 5.0\nstart = [-0.5, 0.6]", disc),
        case("paths, written", written, &format!("name = \"twisted_smc\"\n{size}")),
        case("paths, written, hmc", written, &dynamics("hmc")),
        case("paths, shot", drawn, "name = \"shooting\"\npaths = 300\nreplicates = 3\nmoves = 7\ntwist = \"linear\""),
        case("paths, quadratic twist", written, &format!("name = \"twisted_smc\"\n{size}\n{quadratic}")),
        case("paths, coupled twist", spiral, &format!("name = \"twisted_smc\"\n{size}")),
        case("paths, twist on a grid", plane, &format!("name = \"twisted_smc\"\n{size}\n{grid}")),
        case("paths, clouds", well, &format!("name = \"density_particles\"\n{size}\n{clouds}")),
        case("paths, clouds in the plane", written, &format!("name = \"density_particles\"\n{size}\n{clouds}")),
        case("paths, density curve", well, &format!("name = \"density_curve\"\n{size}\niterations = 700")),
        case(
            "paths, mixture curve",
            written,
            &format!("name = \"density_curve\"\n{size}\niterations = 600\ncomponents = 3\nnodes = 5"),
        ),
    ]
}
