//! A rack in virtual time: hosts, links and appliances, which run the stages and the host programs that
//! production runs. One seed, one world.
