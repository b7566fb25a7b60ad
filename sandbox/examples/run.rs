//! Runs one command in a box: for trying things out.
fn main() {
    use std::time::Duration;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let cg = std::env::var("NOCG").is_err();
    let engine = sandbox::NativeEngine::new(&sandbox::Options { cgroups: cg, ..Default::default() }).unwrap();
    use sandbox::Engine;
    println!("{}", engine.describe());
    let limits = sandbox::Limits { cpu: Duration::from_secs(2), wall: Duration::from_secs(5), memory: 256<<20, output: 1<<20, processes: 64, open_files: 64, stack: 64<<20, disk: 0, reserves_address_space: false };
    let command = sandbox::Command::new(&args, &[]).unwrap();
    let request = sandbox::Request::new(command, vec![], limits).unwrap();
    let n: usize = std::env::var("N").map(|n| n.parse().unwrap()).unwrap_or(1);
    let t = std::time::Instant::now();
    for _ in 1..n { engine.run(&request, &sandbox::Cancel::new().unwrap()).unwrap(); }
    let out = engine.run(&request, &sandbox::Cancel::new().unwrap());
    match out { Err(e) => println!("error {e}"), Ok(o) => { println!("{}{}", String::from_utf8_lossy(&o.stdout.bytes), String::from_utf8_lossy(&o.stderr.bytes)); println!("{:?} {:?} {:?} {:?} {:?}", o.exit, o.exceeded, o.cpu, o.wall, o.memory) } }
    println!("{:?} per run", t.elapsed() / n as u32);
}
