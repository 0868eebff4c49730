//! The two precisions of grids and particles.

use num_complex::Complex;

/// f64 or f32.
pub trait Real:
    rustfft::FftNum + num_traits::Float + num_traits::NumAssign + bytemuck::Pod + Default + std::iter::Sum + 'static
{
    /// The nearest number of this precision.
    fn of(x: f64) -> Self;
    fn to_f64(self) -> f64;

    /// The nearest complex number of this precision.
    fn complex(z: Complex<f64>) -> Complex<Self> {
        Complex::new(Self::of(z.re), Self::of(z.im))
    }
}

impl Real for f64 {
    fn of(x: f64) -> f64 {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    fn of(x: f64) -> f32 {
        x as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}
