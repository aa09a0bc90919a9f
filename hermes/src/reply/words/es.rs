//! Spanish.

use common::domain::left_out::LeftOutReason;
use common::domain::outcome::JobOutcome;

use super::{Confirmation, Said, Words, say, size};

pub(super) static WORDS: Words = Words {
    your_request: "su solicitud",
    look: "Ver la vista previa",
    look_live: "Ver el sitio",
    touched: "Páginas y archivos afectados:",
    and_more: |count| format!("y {count} más"),
    left_out: "Estos archivos no se pudieron usar:",
    why_left_out,
    outcome,
    changed_by_editor: "¿Algo no está bien todavía? Responda y diga qué. Para que se publique, consulte a quien cuida el sitio.",
    acknowledged: say(
        "Su correo ha llegado y se está trabajando en él.",
        "Tarda un poco más de lo habitual; la respuesta llegará en cuanto esté listo. Para detenerlo, responda con la única palabra «parar».",
    ),
    which_site: say(
        "¿A cuál de sus sitios se refiere?",
        "Por favor, envíe de nuevo su correo a la dirección del sitio.",
    ),
    write_to: |site, address| format!("{site}: escriba a {address}"),
    what_to_do: say("Su correo llegó sin texto.", "Por favor, escriba qué debe cambiar en su sitio."),
    unknown_sender: say(
        "No conocemos esta dirección.",
        "Nadie está registrado con ella, así que no se ha hecho nada. Escriba desde la dirección registrada para su sitio o pida a quien lo cuida que añada esta.",
    ),
    not_permitted: say(
        "Esto no está permitido desde su dirección.",
        "No se ha cambiado nada. Pida el permiso a quien cuida el sitio.",
    ),
    rate_limited: say(
        "Han sido muchos correos en poco tiempo.",
        "Este correo y los que sigan durante una hora no se atienden. Por favor, envíelo de nuevo más tarde.",
    ),
    no_site: say(
        "Su sitio no está configurado en este momento.",
        "No se ha cambiado nada. Por favor, consulte a quien lo cuida.",
    ),
    nothing_to_stop: say(
        "No había nada que detener.",
        "Ningún trabajo estaba en marcha ni en espera en esta conversación. Responda a este correo para encargar uno.",
    ),
    done_before_stopped: say(
        "El trabajo terminó antes de poder detenerlo.",
        "El resultado está en el correo correspondiente. Responda a aquel si algo debe ser distinto.",
    ),
    status_idle: say("No hay nada en marcha.", "Responda a este correo con lo que debe cambiar en su sitio."),
    status_busy: say(
        "Esto está en marcha para usted:",
        "Para detenerlo, responda a su correo con la única palabra «parar».",
    ),
    running: |subject, minutes| match minutes {
        0 => format!("«{subject}», recién empezado"),
        1 => format!("«{subject}», desde hace un minuto"),
        _ => format!("«{subject}», desde hace {minutes} minutos"),
    },
    waiting: |subject| format!("«{subject}», espera su turno"),
    help: say(
        "Cómo cambiar su sitio por correo",
        "Puede adjuntar imágenes y documentos. Los correos de una conversación se apoyan unos en otros; un correo nuevo empieza otra.",
    ),
    help_orders: &[
        "Escriba con sus propias palabras qué debe cambiar. La respuesta muestra una vista previa.",
        "Responda a la respuesta para seguir desde ahí.",
    ],
    help_live: &[
        "«publicar» pone en línea lo que muestra la vista previa.",
        "«deshacer» vuelve a la versión anterior.",
    ],
    help_commands: &[
        "«parar» como única palabra detiene lo que está en marcha en la conversación.",
        "«estado» dice qué está en marcha.",
        "«ayuda» muestra esta lista.",
    ],
    which_preview: say(
        "¿Qué cambio debe publicarse?",
        "Responda con la única palabra «publicar» al correo cuya vista previa quiere.",
    ),
    published: say(
        "Su cambio está publicado.",
        "¿Quiere recuperar la versión anterior? Responda a este correo con la única palabra «deshacer».",
    ),
    replaced: say(
        "Su cambio está publicado, en lugar de otro.",
        "¿Quiere recuperar la versión anterior? Responda a este correo con la única palabra «deshacer». ¿Quiere los dos? Responda y diga qué falta.",
    ),
    replaced_what: |subject| {
        let whose = subject.map_or("otra conversación".to_owned(), |it| format!("la conversación «{it}»"));
        format!("Lo que {whose} había publicado no forma parte de él: sus visitantes ya no lo ven.")
    },
    undone: say(
        "Sus visitantes vuelven a ver la versión anterior.",
        "¿No era lo que quería? Responda otra vez con la única palabra «deshacer» y se revertirá.",
    ),
    live_unchanged: say(
        "No hubo que cambiar nada en el sitio publicado.",
        "Si esperaba otra cosa, responda a este correo y diga qué.",
    ),
    not_switched: say(
        "No se pudo cambiar el sitio publicado.",
        "No se ha perdido nada: la vista previa sigue como estaba. Responda con la misma palabra para intentarlo de nuevo.",
    ),
    not_undone: say(
        "No se pudo volver a la versión anterior del sitio publicado.",
        "Mírelo dentro de unos minutos. Solo si todavía muestra la versión que debe desaparecer, responda otra vez con la única palabra «deshacer».",
    ),
    switching: say(
        "El sitio publicado se está cambiando.",
        "El cambio ha empezado y sigue por sí solo; estará completo en unos minutos. Por favor, no lo pida otra vez.",
    ),
    preview_changed: say(
        "La vista previa ha cambiado desde que usted escribió.",
        "No se ha publicado nada. Mire la vista previa; si es lo que quiere, responda a este correo con la única palabra «publicar».",
    ),
    never_shown: say(
        "La vista previa muestra un trabajo que no se terminó.",
        "No se ha publicado nada. Responda «muestra otra vez la vista previa» o escriba lo que quiere; lo que se le muestre entonces se podrá publicar.",
    ),
    not_pushed: say(
        "El cambio está hecho, pero todavía no está en el código de su sitio.",
        "No ha sido posible en este momento. Su cambio está guardado y llegará allí con su próximo correo en esta conversación; no hace falta que lo escriba otra vez. Lo que ven los visitantes no ha cambiado.",
    ),
    aside: |branch| {
        format!(
            "Una parte del trabajo de esta conversación todavía no estaba en el código de su sitio cuando otra persona cambió allí las mismas \
             líneas. No se ha sobrescrito nada: no forma parte de lo que se muestra ahora y se conserva en la rama {branch}."
        )
    },
    live_changed: say(
        "El sitio publicado ha cambiado desde que usted escribió.",
        "Otra persona publicó otra versión, por eso no se ha deshecho nada. Mire el sitio; si aun así quiere la versión anterior, responda a este correo con la única palabra «deshacer».",
    ),
    confirm: Confirmation {
        mail: say(
            "¿Ha escrito usted este correo?",
            "No es seguro que este correo sea suyo y esté destinado a su sitio, así que todavía no se ha hecho nada. Abra el enlace para ver qué se haría y confírmelo allí. Si no lo ha escrito usted, no tiene que hacer nada.",
        ),
        open: "Ver y confirmar",
        page_title: "¿Es suyo este correo?",
        page_site: "Sitio",
        page_from: "De",
        page_subject: "Asunto",
        page_instruction: "Qué se haría",
        page_files: "Archivos que se usarían",
        page_size: |bytes| size(bytes, ["KB", "MB"], ','),
        page_button: "Sí, adelante",
        page_hint: "No ocurre nada hasta que pulse el botón. Si no ha escrito este correo, cierre simplemente esta página.",
        done: say("Gracias.", "Recibirá una respuesta por correo. Puede cerrar esta página."),
        gone: say(
            "Este enlace ya no es válido.",
            "Es demasiado antiguo o le falta una parte. Si su correo no tuvo respuesta, por favor envíelo de nuevo.",
        ),
    },
};

fn outcome(outcome: Option<JobOutcome>) -> Said {
    match outcome {
        Some(JobOutcome::Changed) => say(
            "Su sitio se ha cambiado.",
            "Para publicarlo, responda con la única palabra «publicar». ¿Algo no está bien todavía? Responda y diga qué.",
        ),
        Some(JobOutcome::Answered) => say(
            "No había nada que cambiar.",
            "Si se refería a otra cosa, responda a este correo y diga cuál.",
        ),
        Some(JobOutcome::Question) => {
            say("Una pregunta antes de cambiar su sitio.", "Por favor, responda a este correo.")
        }
        Some(JobOutcome::Stopped) => say(
            "El trabajo se ha detenido.",
            "Lo hecho hasta ahora se conserva. Responda a este correo para seguir desde ahí.",
        ),
        Some(JobOutcome::Interrupted) => {
            say("Su correo más reciente va primero.", "Este se retoma justo después.")
        }
        Some(JobOutcome::BudgetExhausted) => say(
            "Era más trabajo del que cabe en una vez.",
            "Lo hecho hasta ahora se conserva. Responda a este correo para seguir, mejor con una cosa cada vez.",
        ),
        Some(JobOutcome::BuildFailed) => say(
            "El cambio se hizo, pero el sitio no se puede generar con él.",
            "Lo que ven los visitantes no ha cambiado. Responda a este correo con lo que debe ser distinto o consulte a quien cuida su sitio.",
        ),
        Some(JobOutcome::PublishFailed) => say(
            "El cambio se hizo, pero no se pudo mostrar la vista previa.",
            "Lo que ven los visitantes no ha cambiado y su cambio se conserva. Responda a este correo para intentarlo de nuevo.",
        ),
        Some(JobOutcome::PushConflict) => say(
            "Otra persona cambió el mismo lugar mientras tanto.",
            "Se conservan las dos versiones. Pregunte a quien cuida su sitio cuál debe quedar.",
        ),
        Some(JobOutcome::Refused) => say(
            "Esto no se pudo hacer.",
            "Su sitio no ha cambiado. Consulte a quien lo cuida; encontrará el motivo con el identificador al pie de este correo.",
        ),
        Some(JobOutcome::AgentFailed) => say(
            "El cambio no se pudo hacer.",
            "Su sitio no ha cambiado. Responda a este correo para intentarlo de nuevo, quizá con otras palabras.",
        ),
        Some(JobOutcome::Failed) | None => say(
            "Algo falló por nuestra parte.",
            "Su sitio no ha cambiado. Responda a este correo para intentarlo de nuevo; si vuelve a ocurrir, consulte a quien cuida su sitio.",
        ),
    }
}

fn why_left_out(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Empty => "está vacío",
        LeftOutReason::TooLarge => "ocupa más de 25 MB",
        LeftOutReason::TooMany => "un correo puede traer 20 archivos",
        LeftOutReason::Program => "es un programa",
        LeftOutReason::PictureKind => {
            "este tipo de imagen (HEIC, TIFF, AVIF o en bruto) no se puede usar; envíela como JPEG"
        }
        LeftOutReason::TooManyPixels => "tiene demasiados píxeles; envíela más pequeña",
        LeftOutReason::OutlookPack => {
            "Outlook ha empaquetado en él los adjuntos en un formato propio; vuelva a enviar el correo como HTML o texto sin formato"
        }
        LeftOutReason::Unreadable => "está dañado o no se puede leer",
    }
}
