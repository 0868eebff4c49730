//! What is refused, under which key and at which character.

use super::*;

fn refused(toml: &str, domain: &Domain) -> Refusal {
    match input(toml).compile::<f64>(domain) {
        Ok(_) => panic!("was accepted: {toml}"),
        Err(refusal) => refusal,
    }
}

#[test]
fn ill_posed_equations_are_refused_by_the_term() {
    let line = domain(&[8], 2, false);
    let plane = domain(&[4, 4], 2, false);
    let cases: &[(&str, &Domain, &str, &str)] = &[
        ("fields = [\"u\"]\nrhs.u = \"-lap(u)\"", &line, "rhs.u", "    ^^^^^^^\n"),
        ("fields = [\"u\"]\nrhs.u = \"-u*dx(u) - 2*lap(u) + u\"", &line, "rhs.u", "               ^^^^^^^^"),
        ("fields = [\"u\"]\nrhs.u = \"lap(lap(u)) - lap(u)\"", &line, "rhs.u", "    ^^^^^^^^^^^"),
        ("fields = [\"u\", \"v\"]\nrhs.u = \"v\"\nrhs.v = \"-lap(u)\"", &line, "rhs.v", "^^^^^^^"),
        ("fields = [\"u\"]\nrhs.u = \"dx(dx(u)) - dy(dy(u))\"", &plane, "rhs.u", "                ^^^^^^^^^"),
    ];
    for (toml, domain, key, carets) in cases {
        let refusal = refused(toml, domain);
        assert_eq!(refusal.key, *key, "{toml}");
        let message = format!("{}\n", refusal.message);
        assert!(message.contains("ill-posed") && message.contains(carets), "{toml}\n{message}");
    }
    let cone = "dx(dx(u)) - 0.6*dx(dy(u)) + 0.09*dy(dy(u)) - 0.001*dy(dy(u))";
    let cone = refused(&format!("fields = [\"u\"]\nrhs.u = \"{cone}\""), &plane);
    assert!(cone.message.contains("the rate 0.000917") && cone.message.contains("(at character 13)"), "{cone}");
    for good in ["-lap(u) - lap(lap(u))", "dx(dx(dx(u)))", "lap(u) + 5*u", "0.1*dx(u) - inv_lap(u)", "u - mean(u)"] {
        Bench::new(&format!("fields = [\"u\"]\nrhs.u = \"{good}\""), &line);
    }
}

#[test]
fn growth_behind_dispersion_and_in_what_stays_explicit_is_refused_by_the_term() {
    let line = domain(&[8], 2, false);
    let complex = domain(&[8], 2, true);
    let pair = |a: &str, b: &str| format!("fields = [\"a\", \"b\"]\nrhs.a = \"{a}\"\nrhs.b = \"{b}\"");
    let one = |u: &str| format!("fields = [\"u\"]\ncomplex = true\nrhs.u = \"{u}\"");
    let cases: &[(String, &Domain, &str, &str)] = &[
        // λ = −ik³ ± k
        (pair("dx(dx(dx(a))) + dx(b)", "dx(dx(dx(b))) - dx(a)"), &line, "rhs.a", "                    ^^^^^"),
        (pair("dx(b)", "-dx(a)\"\ndiagonal = true\n#"), &line, "rhs.a", "    ^^^^^"),
        (one("-lap(re(u)) + i*lap(im(u))"), &complex, "rhs.u", "    ^^^^^^^^^^^"),
        (one("u - (i - 1)*lap(conj(u))"), &complex, "rhs.u", "        ^^^^^^^^^^^^^^^^^^^^"),
        (one("i*dx(u) + conj(u)"), &complex, "rhs.u", "    ^^^^^^^"),
    ];
    for (toml, domain, key, carets) in cases {
        let refusal = refused(toml, domain);
        assert_eq!(refusal.key, *key, "{toml}");
        assert!(refusal.message.contains("ill-posed"), "{refusal}");
        assert!(refusal.message.ends_with(&format!("\n{carets}")), "{refusal}");
    }
    Bench::new(&pair("dx(dx(dx(a))) + dx(b)", "dx(dx(dx(b))) + dx(a)"), &line);
    Bench::new(&pair("b", "lap(a)\"\ndiagonal = true\n#"), &line);
    for good in ["i*lap(u) + conj(u)", "lap(re(u)) + i*lap(im(u))", "dx(conj(u))", "i*lap(u) - re(u)^3"] {
        Bench::new(&one(good), &complex);
    }
}

#[test]
fn mistakes_in_equations_name_their_key_and_character() {
    let plane = domain(&[4, 4], 2, false);
    let cases: &[(&str, &str, &str)] = &[
        ("fields = [\"u\"]\nrhs.u = \"u + v\"", "rhs.u", "unknown name \"v\""),
        ("fields = [\"theta\"]\nrhs.theta = \"lap(thet)\"", "rhs.theta", "did you mean \"theta\"?"),
        ("fields = [\"u\"]\nrhs.u = \"lapl(u)\"", "rhs.u", "did you mean \"lap\""),
        ("fields = [\"u\"]\nrhs.u = \"dz(u)\"", "rhs.u", "there is no axis z"),
        ("fields = [\"u\"]\nrhs.u = \"z*u\"", "rhs.u", "there is no axis z"),
        ("fields = [\"u\"]\nrhs.u = \"x*u\"", "rhs.u", "must enter through functions of period 6.28"),
        ("fields = [\"u\"]\nrhs.u = \"a\"\ndefine.a = \"exp(y)\"", "define.a", "    exp(y)\n        ^"),
        ("fields = [\"u\"]\nrhs.u = \"dx(cos(x/2)*u)\"", "rhs.u", "coordinate x"),
        ("fields = [\"u\"]\nrhs.u = \"i*u\"", "rhs.u", "complex = true"),
        ("fields = [\"u\"]\nrhs.u = \"conj(u)\"", "rhs.u", "complex = true"),
        ("fields = [\"u\"]\nrhs.u = \"grad(u)\"", "rhs.u", "its right-hand side is a vector of 2"),
        ("fields = [\"u\"]\nrhs.u = \"u + grad(u)\"", "rhs.u", "cannot be added"),
        ("fields = [\"u\"]\nrhs.u = \"div(u)\"", "rhs.u", "div takes a vector"),
        ("fields = [\"u\"]\nrhs.u = \"dot(grad(u), u)\"", "rhs.u", "dot takes two vectors"),
        ("fields = [\"u\"]\nrhs.u = \"dot(grad(u))\"", "rhs.u", "takes 2 arguments"),
        ("fields = [\"u\"]\nrhs.u = \"grad(u)*grad(u)\"", "rhs.u", "use dot, cross or outer"),
        ("fields = [\"u\"]\nrhs.u = \"sin(grad(u))\"", "rhs.u", "must be a scalar"),
        ("fields = [\"u\"]\nrhs.u = \"1/grad(u)\"", "rhs.u", "cannot divide by"),
        ("fields = [\"u\"]\nrhs.u = \"u(1 + u)\"", "rhs.u", "is a * missing"),
        ("fields = [\"u\"]\nrhs.u = \"dx\"", "rhs.u", "write dx(…)"),
        ("fields = [\"u\", \"v\"]\nrhs.u = \"u\"", "rhs", "no right-hand side for v"),
        ("fields = [\"u\"]\nrhs.u = \"u\"\nrhs.w = \"u\"", "rhs.w", "no field \"w\""),
        ("fields = [\"u\"]\nrhs.u = \"1e999*u\"", "rhs.u", "too large"),
        ("fields = [\"u\"]\nrhs.u = \"u/0\"", "rhs.u", "not finite"),
        ("fields = [\"u\"]\nrhs.u = \"u^2 + u^2*log(0)\"", "rhs.u", "not finite"),
        ("fields = []\n", "fields", "at least one"),
        ("fields = [\"u\", \"u\"]\nrhs.u = \"u\"", "fields", "it is a field"),
        ("fields = [\"lap\"]\nrhs.lap = \"1\"", "fields", "it is a function or operator"),
        ("fields = [\"2u\"]\nrhs.2u = \"1\"", "fields", "not a name"),
        ("fields = [\"u\"]\nrhs.u = \"a\"\ndefine = { a = \"b\", b = \"a\" }", "define.b", "a -> b -> a"),
        ("fields = [\"u\"]\nrhs.u = \"u\"\nparameters.a = \"2*b\"", "parameters.a", "unknown name \"b\""),
        ("fields = [\"u\"]\nrhs.u = \"u\"\nparameters.a = \"1/0\"", "parameters.a", "the value is inf"),
        ("fields = [\"u\"]\nrhs.u = \"u\"\nconstraint = \"u\"", "constraint", "an equation such as"),
        ("fields = [\"u\"]\nrhs.u = \"u\"\nconstraint = \"u^2 = 0\"", "constraint", "linear"),
        ("vectors.u = [\"a\", \"b\"]\nrhs.u = \"u\"\nrhs.a = \"a\"", "rhs.u", "two right-hand sides"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(toml, key, message)| match input(toml).compile::<f64>(&plane) {
            Ok(_) => Some(format!("was accepted: {toml}")),
            Err(r) if r.key != *key || !r.message.contains(message) => Some(format!("{toml}: {r}")),
            Err(_) => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A trap that is as high at both ends is accepted.
    Bench::new("fields = [\"u\"]\nrhs.u = \"lap(u) - (x - pi)^2*u\"", &plane);
}

#[test]
fn mistakes_are_marked_at_the_smallest_piece_that_is_at_fault() {
    let plane = domain(&[4, 4], 2, false);
    let scalar = |rhs: &str| format!("fields = [\"u\"]\nrhs.u = \"{rhs}\"");
    let vector =
        |constraint: &str| format!("vectors.u = [\"a\", \"b\"]\nrhs.u = \"lap(u)\"\nconstraint = \"{constraint}\"");
    let cases: &[(String, &str, &str, usize, &str)] = &[
        (scalar("u/0"), "rhs.u", "not finite", 1, "u/0"),
        (scalar("lap(u) + 1/(u-u)"), "rhs.u", "not finite", 10, "1/(u-u)"),
        (scalar("2*u*exp(1000)*u"), "rhs.u", "not finite", 5, "exp(1000)"),
        (scalar("sqrt(-1) + u"), "rhs.u", "not finite", 1, "sqrt(-1)"),
        (scalar("lap(u) - 2*u/0*cos(x)"), "rhs.u", "not finite", 10, "2*u/0"),
        (scalar("u + 0/0"), "rhs.u", "not finite", 5, "0/0"),
        (scalar("u*dx(u + u^2*log(0))"), "rhs.u", "not finite", 14, "log(0)"),
        (scalar("u + a\"\ndefine.a = \"lap(u)/0"), "define.a", "not finite", 1, "lap(u)/0"),
        (scalar(" grad(u)"), "rhs.u", "right-hand side is a vector", 2, "grad(u)"),
        (vector("0 = div(v)"), "constraint", "unknown name", 9, "v"),
        (vector("div(u)) = 0"), "constraint", "never opened", 7, ")"),
        (vector("div(u) == 0"), "constraint", "expected a number", 9, "="),
        (vector("div(u) = 1"), "constraint", "linear in the fields", 10, "1"),
        (vector("div(u) - 2 = 0"), "constraint", "linear in the fields", 10, "2"),
        (vector("dot(u, u) = 0"), "constraint", "linear in the fields", 1, "dot(u, u)"),
        (vector("dx(a) = dot(u, u)"), "constraint", "linear in the fields", 9, "dot(u, u)"),
        (vector("u = 0"), "constraint", "must be scalars", 1, "u"),
        (vector("div(u)/0 = 0"), "constraint", "not finite", 1, "div(u)/0"),
        (vector("div(u)"), "constraint", "an equation such as", 7, " "),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(toml, key, message, character, piece)| {
            let refusal = refused(toml, &plane);
            let place = format!("(at character {character})\n");
            let carets = format!("{}{}", " ".repeat(4 + character - 1), "^".repeat(piece.chars().count()));
            let good = refusal.key == *key
                && refusal.message.contains(message)
                && refusal.message.contains(&place)
                && refusal.message.ends_with(&format!("\n{carets}"));
            (!good).then(|| format!("{toml}\n{refusal}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_long_chain_of_definitions_is_refused_and_a_wide_one_is_not() {
    let line = domain(&[4], 2, false);
    let chain = |n: usize| {
        let mut toml = String::from("fields = [\"u\"]\nrhs.u = \"a0\"\n[define]\n");
        (0..n).for_each(|i| toml.push_str(&format!("a{i} = \"2*a{} - a{}\"\n", i + 1, i + 1)));
        toml + &format!("a{n} = \"lap(u)\"\n")
    };
    Bench::new(&chain(50), &line);
    assert!(refused(&chain(5000), &line).message.contains("more than 100 deep"));
}
